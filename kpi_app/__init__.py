"""Live, exact KPIs from what servers write: access logs in, trustworthy windows in Postgres out.

`faust -A kpi_app worker` finds `app` here. It is made when it is asked for, so that importing the
package (or running `kpi --help`) neither reads settings nor imports faust.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "app":
        from kpi_app.allocator import keep_less

        keep_less()
        from kpi_app.worker import make_app

        globals()["app"] = app = make_app()
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
