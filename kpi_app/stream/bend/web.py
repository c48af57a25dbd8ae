"""The web server: connections that ask for nothing are closed."""

from typing import Any

from aiohttp.web import AppRunner

#: A connection without a whole request is closed after this: aiohttp waits for more than an hour.
IDLE_S = 30.0


def close_idle(app: Any, idle_s: float = IDLE_S) -> None:
    """Have a faust app's web server do so. Before it starts: faust makes its runner without options."""
    app.web._runner = AppRunner(app.web.web_app, access_log=None, keepalive_timeout=idle_s)
