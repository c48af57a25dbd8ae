"""Tables with bars, as wide as the terminal: what gives way where it is narrow is a whole column, never a number."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_BAR = "▏▎▍▌▋▊▉█"
_BAR_WIDTH = 12


class Line(NamedTuple):
    """A name and numbers, and the number that its bar shows."""

    name: Text
    numbers: Sequence[str] = ()
    bar: int = 0


class Shape(NamedTuple):
    """The columns of a table by their headings, the name's first."""

    headings: Sequence[str]
    #: Those that are left out of a narrow table, in this order.
    give_way: Sequence[str]
    #: Characters of the name that are shown in any case; None: all of them.
    least_name: int | None = None


def draw(shape: Shape, lines: Sequence[Line], width: int) -> tuple[Table, list[str]]:
    """Draw what has room in `width`, and tell the columns that have none.

    The bars are cut first, then the names, then columns are left out.
    """
    heading, *headings = shape.headings
    name = max([cell_len(heading), *(cell_len(line.name.plain) for line in lines)])
    least = name if shape.least_name is None else min(name, shape.least_name)
    sizes = [
        max(map(len, column)) for column in zip(headings, *(_padded(line, headings) for line in lines), strict=True)
    ]
    shown, left_out = list(range(len(headings))), list[str]()
    for given in shape.give_way:
        if least + sum(1 + sizes[at] for at in shown) <= width:
            break
        left_out += [given] if given in headings else []
        shown = [at for at in shown if headings[at] != given]
    room = width - sum(1 + sizes[at] for at in shown)
    bar = max(0, min(_BAR_WIDTH, room - name - 1))
    drawn = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    drawn.add_column(heading, width=max(least, min(name, room)), no_wrap=True)
    for at in shown:
        drawn.add_column(headings[at], justify="right", min_width=sizes[at], no_wrap=True)
    if bar:
        drawn.add_column(width=bar, no_wrap=True)
    most = max((line.bar for line in lines), default=0)
    for line in lines:
        numbers = _padded(line, headings)
        drawn.add_row(line.name, *(numbers[at] for at in shown), *([_bar(line.bar, most, bar)] if bar else []))
    return drawn, left_out


def _padded(line: Line, headings: Sequence[str]) -> Sequence[str]:
    return line.numbers or [""] * len(headings)


def _bar(count: int, most: int, width: int) -> str:
    eighths = round(8 * width * count / most) if most else 0
    return _BAR[-1] * (eighths // 8) + (_BAR[eighths % 8 - 1] if eighths % 8 else "")
