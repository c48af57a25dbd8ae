r"""Values: what a dimension's value may be, so that nothing that a line holds harms who keeps it or looks at it.

missing, empty or `-`                  (none)
control and format characters          U+FFFD, the ones that turn the direction of writing among them
over 512 bytes                         cut, between two characters
starts with `(`                        a backslash goes before it: `(none)` and `(other)` are ours
"""

import unicodedata

import polars as pl

#: The value of a line that gives none.
NONE = "(none)"

#: The longest value, bytes of UTF-8.
MAX_VALUE_BYTES = 512

#: Unicode's control and format characters, and its separators of lines and paragraphs.
_UNSAFE = frozenset({"Cc", "Cf", "Zl", "Zp"})


def clean_column(values: pl.Series) -> pl.Series:
    """Make the values of a column (String) safe, as above; null stays null."""
    text = pl.col(values.name)
    fine = text.str.contains("^[!-'*-,.-~][ -~]*$") & (text.str.len_bytes() <= MAX_VALUE_BYTES)
    is_fine = values.to_frame().select(fine).to_series()
    if is_fine.all():
        return values
    rows = (~is_fine).arg_true()
    return values.scatter(rows, pl.Series([clean(value) for value in values.gather(rows)], dtype=pl.String))


def clean(value: str) -> str:
    """Make one value safe, as above."""
    if value in ("", "-"):
        return NONE
    if value.isascii() and value.isprintable() and value[0] != "(" and len(value) <= MAX_VALUE_BYTES:
        return value
    # a character takes at least one byte: the rest of a long value is never looked at
    shown = "".join(map(_shown, value[:MAX_VALUE_BYTES]))
    shown = f"\\{shown}" if shown.startswith("(") else shown
    return shown.encode()[:MAX_VALUE_BYTES].decode(errors="ignore")


def printable(text: str, keep: str = "") -> str:
    """Replace what is not printable by U+FFFD, `keep` aside: nothing in it moves a cursor or turns the writing."""
    return "".join(character if character.isprintable() or character in keep else "\ufffd" for character in text)


def _shown(character: str) -> str:
    safe = character.isprintable() or unicodedata.category(character) not in _UNSAFE
    return character if safe else "\ufffd"
