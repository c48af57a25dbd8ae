"""Takes the screenshots of the live page, desktop, phone, dark, Spanish, a chosen window, and those of the terminal.

`python docs/screenshots/take.py` starts a demo with a log of the demo's own traffic, to which request times are added
as nginx writes them; with a URL it looks at the worker there, and leaves the terminal's (`terminal.py`) alone.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from urllib.parse import urljoin

from dotenv import dotenv_values
from playwright.sync_api import Page, expect, sync_playwright

from kpi_app.local.ports import free_port
from kpi_app.sources.traffic import Live, traffic

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

#: The log: so many lines in so many days until now.
LINES = 150_000
DAYS = 1.0
SEED = 20_230_523

#: By the file's name: width and height of the window, what the URL says, whether it is a touch screen, and how
#: much of the page's height is taken (None: what the window shows).
SHOTS = {
    "desktop": (1440, 900, "?range=6h&size=60", False, 2050),
    "dark": (1440, 900, "?range=6h&size=60&theme=dark", False, None),
    "spanish": (1440, 900, "?range=24h&size=3600&lang=es", False, None),
    "window": (1440, 900, "?range=24h&size=3600&at=", False, 1650),
    "phone": (390, 844, "?range=6h&size=60", True, 1900),
}


def main(urls: list[str]) -> None:
    """Take them all."""
    with demo() if not urls else given(urls[0]) as (url, settings), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, BROWSERS))),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        for name, (width, height, query, touch, taken) in SHOTS.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, locale="en-GB", has_touch=touch, device_scale_factor=1
            )
            page = context.new_page()
            page.goto(urljoin(url, query.removesuffix("&at=")))
            settle(page)
            if query.endswith("&at="):
                page.get_by_role("slider").first.focus()
                for key in ("End", "ArrowLeft", "ArrowLeft", "Enter"):
                    page.keyboard.press(key)
                expect(page.locator("#clear")).to_be_visible()
                settle(page)
            clip = {"x": 0, "y": 0, "width": width, "height": taken or height}
            page.screenshot(path=HERE / f"{name}.png", full_page=taken is not None, clip=clip)
            print(HERE / f"{name}.png")
            context.close()
        browser.close()
        if settings:
            command = [sys.executable, str(HERE / "terminal.py")]
            subprocess.run(command, env={**os.environ, **settings}, check=True)  # noqa: S603  the project's own program


def settle(page: Page) -> None:
    """Return when all of it is there."""
    expect(page.locator("#charts path").first).to_be_attached(timeout=30_000)
    expect(page.locator("#tops article").first).to_be_visible(timeout=30_000)
    expect(page.locator("#ingest tbody tr").first).to_be_visible(timeout=30_000)


@contextmanager
def given(url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A worker that is there; of its settings nothing is known."""
    yield url, {}


@contextmanager
def demo() -> Iterator[tuple[str, dict[str, str]]]:
    """Run a demo until it has counted everything and goes on with live traffic; where it is, and its settings."""
    port = free_port()
    env = {**os.environ, "KPI_WEB_PORT": str(port)}
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "access.log"
        with log.open("w") as file:
            start = datetime.now(UTC) - timedelta(days=DAYS)
            file.writelines(timed(traffic(LINES, start, DAYS, SEED)))
        command = [str(Path(sys.executable).with_name("kpi")), "demo", "--workers", "2", "--log", str(log)]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  the project's own command
            over = threading.Event()
            writer = threading.Thread(target=write_live, args=(log, over))
            try:
                said = list(until_it_goes_on(process.stdout or ()))
                writer.start()
                yield f"http://127.0.0.1:{port}/", settings_of(said)
            finally:
                over.set()
                process.terminate()


def until_it_goes_on(lines: Iterable[str]) -> Iterator[str]:
    """What the demo says until all is counted."""
    for line in lines:
        yield line
        if "Ctrl-C" in line:
            return
    raise SystemExit("the demo has ended")


def settings_of(said: Iterable[str]) -> dict[str, str]:
    """The settings in the file that the demo names for a shell."""
    [file] = [words[2] for line in said if (words := shlex.split(line))[:2] == ["psql", "."]]
    return {name: value for name, value in dotenv_values(file).items() if value is not None}


def write_live(log: Path, over: threading.Event) -> None:
    """Go on as the log has begun."""
    live = Live(LINES / DAYS / 86_400, datetime.now(UTC), SEED)
    with log.open("a", buffering=1) as file:
        while not over.wait(0.5):
            file.writelines(timed(live.until(datetime.now(UTC))))


def timed(lines: Iterable[str]) -> Iterator[str]:
    """Lines with a request time: most take some ten milliseconds, a few a second."""
    random = Random(SEED)  # noqa: S311  the same pictures every time
    for line in lines:
        yield f"{line} rt={random.lognormvariate(-3.2, 0.9):.3f}\n"


if __name__ == "__main__":
    main(sys.argv[1:])
