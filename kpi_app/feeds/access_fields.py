"""Fields: access lines of any format are told apart into the same columns of text."""

import polars as pl

from kpi_app.feeds.access_formats import COMBINED, COMBINED_XFF, COMMON, FIELDS, LEFT, LENIENT, STRICT, TIME, named
from kpi_app.feeds.access_json import read_json

#: The fields of a line, as they stand in it; null where its format has no such field. `request` is the whole request
#: line, `target`, `method` and `protocol` its parts where only these are given.
TEXTS = (
    *("client", "time", "request", "status", "bytes", "referrer", "agent", "xff"),
    *("method", "target", "protocol", "host", "request_time"),
)

#: Beside the fields: the format (null in a line that can't be told apart), and the time of a line that gives it as
#: anything but the text of the combined format, microseconds.
SCHEMA: dict[str, type[pl.DataType]] = {**dict.fromkeys(TEXTS, pl.String), "format": pl.String, "event_us": pl.Int64}

#: The groups of the looks.
GROUPS = tuple(name for name in FIELDS if name not in LEFT)
_NAMED = tuple(name for name in GROUPS if name.startswith("named_"))
#: The names behind a line that are read; of two in one line the first one there counts.
HOSTS = ("host", "http_host", "server_name")
REQUEST_TIMES = ("rt", "request_time")

_HOST = named(*HOSTS)
_REQUEST_TIME = named(*REQUEST_TIMES)
_NO_TIME = pl.lit(None, pl.Int64)


def tell_apart(lines: pl.DataFrame) -> pl.DataFrame:
    """Give the columns of `SCHEMA` for each of the lines; all are null in a line that no look tells apart.

    `lines`: `line` (String), null where there is none, or where the groups of `ESCAPED`, if they are there, hold what
    is told apart already.
    """
    text = lines["line"]
    if not set(GROUPS) <= set(lines.columns) or not text.null_count():
        return _of_lines(text)
    told = lines.select(GROUPS)
    if _has_named(told):
        told = told.with_columns(pl.col(_NAMED).str.replace_all('\\"', '"', literal=True))
    rows = text.is_not_null().arg_true()
    return _scattered(_with_all(told), rows, _of_lines(text.gather(rows))) if len(rows) else _with_all(told)


def _of_lines(lines: pl.Series) -> pl.DataFrame:
    told = lines.str.extract_groups(STRICT).struct.unnest()
    rows = (told["time"].is_null() & lines.is_not_null()).arg_true()
    return _scattered(_with_all(told), rows, _lenient(lines.gather(rows))) if len(rows) else _with_all(told)


def _lenient(lines: pl.Series) -> pl.DataFrame:
    told = _with_all(lines.str.extract_groups(LENIENT).struct.unnest().with_columns(time=_readable_time()))
    rows = (told["format"].is_null() & lines.str.starts_with("{")).arg_true()
    return _scattered(told, rows, _json(lines.gather(rows))) if len(rows) else told


def _json(lines: pl.Series) -> pl.DataFrame:
    """Read lines that may be JSON, one by one."""
    return pl.DataFrame([read_json(line) for line in lines], SCHEMA, orient="row")


def _scattered(told: pl.DataFrame, rows: pl.Series, found: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([told[name].scatter(rows, found[name]) for name in told.columns])


def _with_all(told: pl.DataFrame) -> pl.DataFrame:
    """The columns of `SCHEMA`, in its order."""
    nothing = dict.fromkeys(("method", "target", "protocol"), pl.lit(None, pl.String))
    made = {**nothing, **_named_fields(told), "format": _format(), "event_us": _NO_TIME}
    return told.select_seq(**{name: made.get(name, pl.col(name)) for name in SCHEMA})


def _readable_time() -> pl.Expr:
    """Keep the time, or an empty text where `LENIENT` took something else for it."""
    time = pl.col("time")
    return pl.when(time.str.contains(f"^(?:{TIME})$")).then(time).when(time.is_not_null()).then(pl.lit(""))


def _format() -> pl.Expr:
    """Give the name of the format by how far the line reaches; fields with names change nothing."""
    return (
        pl.when(pl.col("xff").is_not_null())
        .then(pl.lit(COMBINED_XFF))
        .when(pl.col("referrer").is_not_null())
        .then(pl.lit(COMBINED))
        .when(pl.col("time").is_not_null())
        .then(pl.lit(COMMON))
    )


def _named_fields(told: pl.DataFrame) -> dict[str, pl.Expr]:
    if not _has_named(told):
        return dict.fromkeys(("host", "request_time"), pl.lit(None, pl.String))
    fields = pl.coalesce(_NAMED)
    return {"host": _first(fields, _HOST), "request_time": _first(fields, _REQUEST_TIME)}


def _has_named(told: pl.DataFrame) -> bool:
    return any(told[name].null_count() < len(told) for name in _NAMED)


def _first(fields: pl.Expr, pattern: str) -> pl.Expr:
    return pl.coalesce(fields.str.extract(pattern, 1), fields.str.extract(pattern, 2))
