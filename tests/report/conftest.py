"""Stored windows to report on, by the real sink in a real Postgres."""

from tests.sinks.conftest import store

__all__ = ["store"]
