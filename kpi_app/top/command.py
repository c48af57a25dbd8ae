"""`kpi top`: looks every few seconds and draws what it sees, until it is told to end."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.live import Live

from kpi_app.core.windows import parse_duration
from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report.unite import dimensions
from kpi_app.settings import Settings
from kpi_app.sources.connection import Topic, end_offsets
from kpi_app.stream.kafka import connection
from kpi_app.top.frame import HEIGHT, Shown, Size, frame
from kpi_app.top.keys import pressed
from kpi_app.top.look import Ends, Look, Looker, Wish
from kpi_app.web.reader import PostgresReader

_QUIT = b"qQ"


class Options(NamedTuple):
    """What was asked for, in words."""

    by: str
    range: str
    window: str | None
    every: str
    once: bool


async def top(settings: Settings, options: Options, out: Console) -> None:
    """Draw until `q` or a cancellation; once where that is asked for, or where `out` is no terminal to draw on.

    Raises `UserError`, also when Postgres does not answer at first; later on it is waited for.
    """
    if options.by not in dimensions(ACCESS):
        raise UserError(f"--by {options.by}: one of {', '.join(dimensions(ACCESS))}")
    every_s = _duration("--every", options.every)
    wish = Wish(
        _duration("--range", options.range),
        None if options.window is None else _duration("--window", options.window),
    )
    zone = ZoneInfo(settings.timezone)
    shown = Shown(settings.topic, options.by, zone)
    dsn = settings.database_url.get_secret_value()
    reader = PostgresReader(dsn, ACCESS, settings.topic, settings.base_window_s, zone)
    async with Looker(reader, wish, _ends(settings)) as looker:
        try:
            look = await looker.look()
        except (SinkBusy, SinkRefused) as error:
            raise UserError(str(error)) from error
        # `is_terminal` is true in a pipe, too, where FORCE_COLOR is set
        if options.once or not out.file.isatty() or out.is_dumb_terminal:
            out.print(frame(look, shown, Size(out.width, HEIGHT)))
        else:
            await _go_on(looker, look, shown, every_s, out)


def _duration(option: str, text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from None
    if not seconds:
        raise UserError(f"{option} {text}: at least 1s")
    return seconds


def _ends(settings: Settings) -> Ends:
    options = connection(settings)  # what is wrong with its files shows at once

    async def ask(partitions: Sequence[int]) -> Mapping[int, int]:
        return await end_offsets(options, Topic("", settings.topic, tuple(partitions)))

    return ask


async def _go_on(looker: Looker, look: Look, shown: Shown, every_s: int, out: Console) -> None:
    """Draw and look again; while Postgres does not answer, the last look with the reason."""
    trouble: str | None = None

    async def follow() -> None:
        nonlocal look, trouble
        while True:
            draw()
            await asyncio.sleep(every_s)
            try:
                look, trouble = await looker.look(), None
            except (SinkBusy, SinkRefused) as error:
                trouble = str(error)

    with Live(console=out, screen=True, auto_refresh=False) as live:

        def draw() -> None:
            live.update(frame(look, shown, Size(*out.size), trouble), refresh=True)

        drawing = asyncio.create_task(follow())
        with pressed(_QUIT, drawing.cancel), _resized(draw):
            try:
                await asyncio.wait({drawing})
            finally:
                drawing.cancel()
                await asyncio.wait({drawing})
        if not drawing.cancelled():
            drawing.result()


@contextlib.contextmanager
def _resized(then: Callable[[], None]) -> Iterator[None]:
    """Call `then` when the terminal gets another size."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, then)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
