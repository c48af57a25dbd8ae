"""Chaos: real workers, a broker and a Postgres, lines at a rate, faults by a seed; then every row is compared.

    make chaos MINUTES=5 SEED=1 WORKERS=3 RATE=5000

    schedule.py   which fault comes when: a function of the seed
    faults.py     what each kind of fault does
    fleet.py      the workers, and their supervisor: who ends is started again
    disks.py      the workers' disks, which can be full
    stage.py      broker, Postgres, topic, fleet and lines, put together
    producer.py   lines at a rate, in a thread; it knows what the broker has acknowledged
    watch.py      looks at the database all the time: what must hold in every state, and when a fault is got over
    topic.py      what the topic really holds, read back
    compare.py    every row, book, list and dead letter against the recount of that
    report.py     results of runs, added up to a table
    run.py        one run

What the lines must come to is told by `tests.exactness.truth`; nothing in the product knows of these tests.
"""
