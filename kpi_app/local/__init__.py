"""SHELL: real Kafka and Postgres from packages, on loopback, for the demo, `kpi up` and the tests."""
