"""Numbers for people, in as few characters as tell them, as the live page writes them; and bars of characters."""

from collections.abc import Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_LEVELS = "▁▂▃▄▅▆▇█"

#: One value of a series; None where nothing was counted.
Point = float | None


def rate(per_s: float) -> str:
    """Write it as in 12.3/s."""
    return f"{per_s:,.0f}/s" if per_s >= 100 else f"{per_s:.{1 if per_s >= 10 else 2}f}/s"


def share(part: float, whole: float) -> str:
    """Write it as in 0.52 %."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.{2 if 0 < percent < 1 else 1}f} %"


def size(count: float) -> str:
    """Write it as in 12.3 MB."""
    unit = 0
    while count >= 1_000 and unit + 1 < len(_UNITS):
        count, unit = count / 1_000, unit + 1
    return f"{count:.{1 if unit and count < 100 else 0}f} {_UNITS[unit]}"


def took(seconds: float) -> str:
    """Write it as in 12 ms, or 1.20 s."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    return f"{seconds:.{2 if seconds < 10 else 1}f} s"


def age(seconds: float) -> str:
    """Write it as in 45 s, 12 min, 3 h, or 5 d."""
    for unit, unit_s, until_s in (("s", 1, 90), ("min", 60, 5_400), ("h", 3_600, 172_800)):
        if seconds < until_s:
            return f"{max(0.0, seconds) / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:,.0f} d"


def fit(points: Sequence[Point], width: int) -> list[Point]:
    """At most `width` points: several become one, their mean, where there are more; few are repeated, each as often."""
    if not points or width < 1:
        return []
    if len(points) <= width:
        return [point for point in points for _ in range(width // len(points))]
    each = -(-len(points) // width)
    return [_mean(points[at : at + each]) for at in range(0, len(points), each)]


def _mean(points: Sequence[Point]) -> Point:
    known = [point for point in points if point is not None]
    return sum(known) / len(known) if known else None


def bars(points: Sequence[Point], height: int = 1) -> list[str]:
    """A bar a point, as `height` lines of characters, the upper first.

    The greatest is as high as that; any but 0 has an eighth of a character at least.
    """
    most = max((point for point in points if point is not None), default=0.0)
    eighths = [max(round(8 * height * point / most), 1) if point and most else 0 for point in points]
    return ["".join(_cell(each - 8 * below) for each in eighths) for below in reversed(range(height))]


def _cell(eighths: int) -> str:
    return _LEVELS[min(eighths, 8) - 1] if eighths > 0 else " "
