"""A look as lines for a terminal of any size. What a stranger wrote is made printable, and is never markup."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rich.console import Group
from rich.table import Table
from rich.text import Text

from kpi_app.core.tops import OTHER
from kpi_app.core.windows import format_duration, utc, window_start
from kpi_app.feeds.values import printable
from kpi_app.report.render import as_table
from kpi_app.top import figures
from kpi_app.top.figures import Point
from kpi_app.top.look import Look

#: The status classes and their colours; those of `_ALWAYS` have a line even where they did not occur.
_CLASSES = {"1xx": "", "2xx": "green", "3xx": "cyan", "4xx": "yellow", "5xx": "red", "other": ""}
_ALWAYS = ("2xx", "3xx", "4xx", "5xx")

#: Lines of the chart: at least, unless it gives way altogether, and one in so many of the frame's.
_CHART, _CHART_PART = 3, 6

#: Lines of the list of values: what is above its values, and the least that the chart leaves it.
_HEAD, _LIST = 2, 5


#: What a frame is printed in where it goes to no terminal.
WIDTH, HEIGHT = 80, 24


class Size(NamedTuple):
    """Columns and lines."""

    width: int
    height: int


class Shown(NamedTuple):
    """What a frame is of, but for the look."""

    topic: str
    by: str
    zone: ZoneInfo


def frame(look: Look, shown: Shown, size: Size, trouble: str | None = None) -> Group:
    """The frame, in at most `size`. `trouble`: why the look is an old one."""
    head = [_headline(look, shown, size.width)]
    if trouble is not None:
        stands = f"as of {look.at.astimezone(shown.zone):%H:%M:%S}: {printable(trouble)}"
        head.append(_cut(Text(stands, "bold red"), size.width))
    load, people, times, intake = (_flow(part(look), size.width) for part in (_load, _people, _times, _intake))
    figures_ = [*people, *times, *intake]
    left = size.height - len(head) - len(load) - len(figures_)
    # where it gets low the chart gives way first, then the classes, then the list of values
    classes = _classes(look, size.width)
    chart = _chart(
        look, shown.zone, size.width, min(max(_CHART, size.height // _CHART_PART), left - len(classes) - _LIST - 1)
    )
    if len(classes) + _LIST > left:
        classes = []
    lines = [*head, *load, *chart, *classes, *figures_][: size.height]
    return Group(*lines, *_tops(look, shown, size, size.height - len(lines)))


def _headline(look: Look, shown: Shown, width: int) -> Text:
    range_s = int((look.end - look.start).total_seconds())
    span = f"{format_duration(range_s)} by {format_duration(look.size_s)}"
    at = look.at.astimezone(shown.zone)
    said = Text.assemble((printable(shown.topic), "bold"), f"  {span}")
    if look.follows == "last":
        said.append(f"  to the last line, {look.end.astimezone(shown.zone):%Y-%m-%d %H:%M}", "yellow")
    clock = f"{at:%H:%M:%S} {printable(str(shown.zone))}"
    gap = width - said.cell_len - len(clock)
    return _cut(said.append(" " * max(2, gap)).append(clock, "dim"), width)


def _load(look: Look) -> Iterator[Text]:
    if not look.rows:
        yield Text("no line was counted in this span")
        return
    requests = _sum(look.rows, "requests")
    yield _figure("load", figures.rate(_now(look)), "now")
    yield _figure("", figures.rate(requests / _elapsed_s(look)), "mean")
    yield _figure("", figures.rate(max(row["peak_requests_per_second"] for row in look.rows)), "peak")
    yield _figure("", f"{requests:,}", "requests")
    yield _figure("", f"{_sum(look.rows, 'late_requests'):,}", "late")


def _people(look: Look) -> Iterator[Text]:
    if look.rows:
        requests, sent = _sum(look.rows, "requests"), _sum(look.rows, "bytes_sent")
        yield _figure("visitors", "…" if look.overview is None else f"{look.overview['unique_visitors']:,}")
        yield _figure("bots", figures.share(_sum(look.rows, "bot_requests"), requests))
        yield _figure("sent", figures.size(sent))


def _times(look: Look) -> Iterator[Text]:
    if look.overview and look.overview["request_time_p50"] is not None:
        yield Text("time")
        for name in ("p50", "p90", "p95", "p99", "max"):
            yield _figure(name, figures.took(look.overview[f"request_time_{name}"]))


def _intake(look: Look) -> Iterator[Text]:
    books = look.books
    if not books:
        yield Text("no worker has counted a line yet")
        return
    lines, counted, rejected, dropped, twice, lost = (
        _sum(books, name) for name in ("lines", "counted", "rejected", "late_dropped", "duplicates", "lost_offsets")
    )
    lags = [row["lag"] for row in books]
    behind = [row["watermark"] for row in books if row["watermark"] is not None and not row["idle"]]
    lag = "–" if None in lags else f"{sum(lags):,}"
    yield _figure(
        "lag", lag, f"lines, {figures.age((look.at - min(behind)).total_seconds())}" if behind else "lines, idle"
    )
    yield _figure("read", f"{lines:,}")
    yield _figure("rejected", f"{rejected:,} ({figures.share(rejected, lines)})", style="yellow" if rejected else "")
    yield _figure("too late", f"{dropped:,}", style="yellow" if dropped else "")
    off = lines - counted - rejected - dropped - twice
    yield _figure("unaccounted for", f"{off:,}", style="bold red" if off else "")
    if lost:
        yield _figure("lost", f"{lost:,}", style="bold red")


def _figure(before: str, number: str, after: str = "", style: str = "") -> Text:
    said = Text()
    if before:
        said.append(f"{before} ")
    said.append(number, style or "bold")
    return said.append(f" {after}") if after else said


def _flow(parts: Iterator[Text], width: int) -> list[Text]:
    """Parts side by side, in as many lines as they need; none is broken, one that is too long is cut."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + 3 + part.cell_len <= width:
            lines[-1].append("   ").append_text(part)
        else:
            lines.append(part)
    return [_cut(line, width) for line in lines]


def _cut(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text


def _classes(look: Look, width: int) -> list[Text]:
    """A line a status class: how many, which share of all, and when."""
    requests = _sum(look.rows, "requests")
    lines = []
    for name, style in _CLASSES.items():
        column = f"status_{name}"
        count = _sum(look.rows, column)
        if count or (look.rows and name in _ALWAYS):
            said = Text.assemble((f"{name:<5}", style), f" {count:>11,}  {figures.share(count, requests):>7}  ")
            [line] = figures.bars(figures.fit(_series(look, column), width - said.cell_len))
            lines.append(_cut(said.append(line, style), width))
    return lines


def _chart(look: Look, zone: ZoneInfo, width: int, height: int) -> list[Text]:
    """Bars of the requests over time, and from when to when they are."""
    if not look.rows or height < 1:
        return []
    series = _series(look, "requests")
    lines = figures.bars(figures.fit(series, width), height)
    form = "%m-%d %H:%M" if (look.end - look.start).days else "%H:%M"
    ends = (look.start, look.start + len(series) * timedelta(seconds=look.size_s))
    start, end = (f"{at.astimezone(zone):{form}}" for at in ends)
    axis = start + end.rjust(max(len(lines[0]) - len(start), len(end) + 1))
    return [*(Text(line, "blue") for line in lines), _cut(Text(axis, "dim"), width)]


def _series(look: Look, column: str) -> list[Point]:
    """Every window up to now, in order, None where nothing was counted; not the one that is half over."""
    found = {int(row["window_start"].timestamp()): row[column] for row in look.rows}
    start_s, now_s = int(look.start.timestamp()), int(min(look.end, look.at).timestamp())
    end_s = max(now_s, start_s + look.size_s)
    return [found.get(at_s) for at_s in range(start_s, end_s - look.size_s + 1, look.size_s)]


def _elapsed_s(look: Look) -> float:
    """How long it was counted for: of a span that goes on, what is ahead of now does not count."""
    return max(1.0, (min(look.end, look.at) - look.start).total_seconds())


def _now(look: Look) -> float:
    """Requests a second of the last whole window and of the one that is open."""
    at_s = min(look.end, look.at).timestamp()
    from_s = window_start(int(at_s), look.size_s) - look.size_s
    return _sum([row for row in look.rows if row["window_start"] >= utc(from_s)], "requests") / (at_s - from_s)


def _sum(rows: Sequence[Mapping[str, Any]], column: str) -> int:
    return sum(row[column] for row in rows)


def _tops(look: Look, shown: Shown, size: Size, height: int) -> Iterator[Text | Table]:
    """The values with the most requests, in `height` lines, and the rest of them as one."""
    if look.overview is None:
        if look.rows and height > 1:
            yield from (Text(), _cut(Text("too many windows to unite: ask for a shorter --range"), size.width))
        return
    values = look.overview["tops"].get(shown.by, [])
    room = height - _HEAD
    if not values and room > 0:
        yield from (Text(), _cut(Text(f"the log's format has no {shown.by}"), size.width))
    if values and room > 0:
        rows = [{"from": look.start, "dimension": shown.by, **row} for row in _listed(values, room)]
        table = as_table(rows, shown.zone, size.width)
        table.caption = None  # it has no line to spare
        yield from (Text(), table)


def _listed(values: Sequence[Mapping[str, Any]], room: int) -> list[Mapping[str, Any]]:
    """At most `room` rows, of which one is that of all others, so that they sum up."""
    listed = [row for row in values if row["value"] != OTHER]
    if len(values) <= room:
        return [*values]
    shown, others = listed[: room - 1], [*listed[room - 1 :], *(row for row in values if row["value"] == OTHER)]
    rest = {name: _sum(others, name) for name in ("requests", "bytes_sent", "errors")}
    return [*shown, {"value": OTHER, "requests_error": 0, **rest}]
