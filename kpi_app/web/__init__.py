"""SHELL: probes, metrics, rows and the table as JSON, on faust's own web server."""

from kpi_app.web.pages import OPTIONS, register

__all__ = ["OPTIONS", "register"]
