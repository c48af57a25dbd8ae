"""SHELL: the live page, probes, metrics, rows and the table as JSON, on faust's own web server."""

from kpi_app.web.answers import is_loopback
from kpi_app.web.door import Door
from kpi_app.web.pages import OPTIONS, Shown, register

__all__ = ["OPTIONS", "Door", "Shown", "is_loopback", "register"]
