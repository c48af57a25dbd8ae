"""PURE: the feeds. Each is one file and one line here."""

from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Feed

#: Every kind of record that the worker folds.
FEEDS: tuple[Feed, ...] = (ACCESS,)
