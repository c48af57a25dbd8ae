"""SHELL: where closed windows go. A new sink is one file here, one line in `SINKS`, and the shared tests."""

from collections.abc import Callable, Mapping

from kpi_app.sinks.base import Sink
from kpi_app.sinks.postgres import PostgresSink

#: What makes a sink for a database URL, by the URL's scheme; called as `PostgresSink` is.
SINKS: Mapping[str, Callable[..., Sink]] = {
    "postgresql": PostgresSink,
    "postgres": PostgresSink,
}
