"""SQL is kept in `.sql` files, each query with a name and a description; here it is read by name."""

import re
from importlib import resources

#: `-- name --` on a line of its own, and the lines of the description under it.
_HEAD = re.compile(r"^-- ([a-z_]+) --\n(?:-- .*\n)*", re.MULTILINE)

#: What may be put into a query as a name; all that comes from data is passed as a parameter instead.
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def load(room: str) -> dict[str, str]:
    """The queries of `sql/<room>.sql` by name."""
    text = resources.files(__package__).joinpath("sql", f"{room}.sql").read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def identifiers(names: list[str], prefix: str = "") -> str:
    """Names of columns for a query, with commas between. Raises `ValueError` for what is not a plain name."""
    for name in names:
        if _IDENTIFIER.fullmatch(name) is None:
            raise ValueError(f"{name!r} can't name a table or a column")
    return ", ".join(f'{prefix}"{name}"' for name in names)
