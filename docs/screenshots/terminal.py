"""Takes the pictures of `kpi top` and `kpi report`, as SVG: what the commands themselves print, on what is counted now.

`python docs/screenshots/terminal.py` looks where the settings (KPI_DATABASE_URL, KPI_BROKERS, …) lead it; `take.py`
starts it on its demo.
"""

import asyncio
import io
import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from kpi_app.report.ask import Wish
from kpi_app.report.command import rows_of, show
from kpi_app.settings import Settings, load
from kpi_app.top.command import Options, top

HERE = Path(__file__).parent
WIDTH = 92

#: The fonts that a reader's browser would fetch from elsewhere.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Take them all."""
    settings = load()
    shots: dict[str, tuple[str, Callable[[Settings, Console], None]]] = {
        "top": ("kpi top --range 6h", take_top),
        "report": ("kpi report --window 3h", take_report),
    }
    for name, (title, take) in shots.items():
        screen = Console(
            record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor",
            markup=False, emoji=False, highlight=False,
        )  # fmt: skip
        take(settings, screen)
        path = HERE / f"{name}.svg"
        path.write_text(FONTS.sub("", screen.export_svg(title=title, unique_id=name)))
        print(path)


def take_top(settings: Settings, screen: Console) -> None:
    """One frame."""
    asyncio.run(top(settings, Options("path", "6h", None, "2s", once=True), screen))


def take_report(settings: Settings, screen: Console) -> None:
    """A day by three hours, and its paths."""
    report = asyncio.run(rows_of(settings, Wish(window="3h"), lambda done_s, total_s, windows: None))
    show(report, settings, "table", screen)


if __name__ == "__main__":
    main()
