"""Postgres keeps the contract of sinks."""

from tests.sinks.contract import SinkContract


class TestPostgres(SinkContract):
    """The shared tests, on Postgres."""
