"""The one error of this room."""

from kpi_app.errors import UserError


class LocalError(UserError):
    """An embedded server can't be had: a line that says why and what to do, at times with its log's end."""
