"""Exactly once, in effect: real workers against a real Kafka and a real Postgres, ended, frozen and cut off.

    points.py     the steps between which a worker can end: a name each, and what to hook for it
    mutations.py  mechanisms of the protocol, each taken away by a patch
    victim.py     a worker in a process of its own: the product's code, with hooks and patches put in by the test
    workers.py    the test's side of it: start, arm, freeze, end
    lines.py      lots of lines: on time, late, future, unreadable
    truth.py      what they must come to, by an independent recount, and the comparison of every row with it
    rig.py        a topic, a database, workers and the lines sent, put together

Nothing in the product knows of these tests: hooks are wrapped around its methods in the victim's process.
"""
