"""Tried: batches of values made of the seeds by mutation; a seed and a number always make the same one."""

import json
import re
from collections.abc import Callable, Sequence
from random import Random

from kpi_app.feeds.envelope import MAX_LINE_BYTES
from tests.fuzz.seeds import JSON_VALUES, TOKENS, wrapped

#: Values in a batch, at most.
MOST = 1_000

#: One in so many values is made long, up to a little over what is read.
_LONG_ONE_IN = 60

_QUOTED = re.compile(rb'"[^"]*"')
_NUMBER = re.compile(rb"[0-9]+")
_MEMBER = re.compile(rb'"[^"\\]*": ?("(?:[^"\\]|\\.)*"|[^,}\]]*)')

Value = bytes | None


class Batches:
    """Makes the batches of one seed from one corpus."""

    def __init__(self, seed: int, corpus: Sequence[bytes]) -> None:
        self._seed = seed
        self._corpus = corpus

    def __getitem__(self, number: int) -> list[Value]:
        random = Random(f"{self._seed}:{number}")  # noqa: S311  no secret
        return [self._value(random) for _ in range(random.randint(1, MOST))]

    def _value(self, random: Random) -> Value:
        kind = random.random()
        if kind < 0.01:
            return None
        if kind < 0.03:
            return random.randbytes(random.randrange(40))
        value = random.choice(self._corpus)
        for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            value = random.choice(_MUTATIONS)(value, random, self._corpus)
        if random.randrange(_LONG_ONE_IN) == 0:
            value = _lengthened(value, random)
        if random.random() < 0.2:
            value = wrapped(value.decode("utf-8", "replace"), random.randrange(12))
        return value[: MAX_LINE_BYTES + 3]


def _span(value: bytes, random: Random, most: int = 12) -> tuple[int, int]:
    start = random.randint(0, len(value))
    return start, min(len(value), start + random.randrange(most))


def _token_in(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, _end = _span(value, random)
    return value[:start] + random.choice(TOKENS) + value[start:]


def _token_over(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(value, random)
    return value[:start] + random.choice(TOKENS) + value[end:]


def _token_at_border(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A token beside or instead of a quote, space or bracket: where fields begin and end."""
    places = [place for place, byte in enumerate(value) if byte in b'" []{}:,=']
    place = random.choice(places or [0])
    return value[:place] + random.choice(TOKENS) + value[place + random.randrange(2) :]


def _text_replaced(value: bytes, random: Random, corpus: Sequence[bytes]) -> bytes:
    """A whole quoted text gets another one, of tokens or of another value."""
    texts = list(_QUOTED.finditer(value))
    if not texts:
        return value
    old = random.choice(texts)
    others = _QUOTED.findall(random.choice(corpus))
    tokens = b"".join(random.choices(TOKENS, k=random.randrange(6)))
    new = random.choice(others) if others and random.random() < 0.4 else b'"' + tokens + b'"'
    return value[: old.start()] + new + value[old.end() :]


def _number_replaced(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    numbers = list(_NUMBER.finditer(value))
    if not numbers:
        return value
    old = random.choice(numbers)
    new = b"%0*d" % (
        random.choice((1, len(old[0]))),
        random.choice((0, 1, 9, 12, 31, 60, 99, 255, 256, 2**31, 2**63, 10**13)),
    )
    return value[: old.start()] + new + value[old.end() :]


def _member_replaced(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    members = list(_MEMBER.finditer(value))
    if not members:
        return value
    old = random.choice(members)
    return value[: old.start(1)] + random.choice(JSON_VALUES).encode() + value[old.end(1) :]


def _member_again(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """Two members of one name, or one that comes from elsewhere in it."""
    members = list(_MEMBER.finditer(value))
    if not members:
        return value
    place = random.choice(members).start()
    return value[:place] + random.choice(members)[0] + b"," + value[place:]


def _escaped(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """One character written as JSON may write it."""
    start = random.randint(0, len(value))
    return value[:start] + b"\\u%04x" % random.choice((*value[start : start + 1], 0, 0x2F, 0x22)) + value[start + 1 :]


def _cut(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(value, random)
    return value[:start] + value[end:]


def _cut_off(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    place = random.randint(0, len(value))
    return value[:place] if random.random() < 0.7 else value[place:]


def _byte_changed(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    if not value:
        return random.randbytes(1)
    place = random.randrange(len(value))
    return value[:place] + bytes([value[place] ^ (1 << random.randrange(8))]) + value[place + 1 :]


def _doubled(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(value, random, 40)
    return value[:end] + value[start:end] * random.choice((1, 1, 2, 5)) + value[end:]


def _stretched(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A token or a piece of the value so often that a text is about as long as may be kept of one, or of an agent."""
    start, end = _span(value, random)
    piece = value[start:end] if end > start and random.random() < 0.5 else random.choice(TOKENS)
    return value[:start] + piece * (random.choice((60, 510, 514, 1_100)) // len(piece)) + value[start:]


def _spliced(value: bytes, random: Random, corpus: Sequence[bytes]) -> bytes:
    other = random.choice(corpus)
    return value[: random.randint(0, len(value))] + other[random.randint(0, len(other)) :]


def _member_changed(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A text of an object, by its meaning: tokens put in, or others instead; a line in an envelope, mutated."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    texts = [name for name, text in found.items() if isinstance(text, str)] if isinstance(found, dict) else []
    if not texts:
        return value
    name = random.choice(texts)
    tokens = b"".join(random.choices(TOKENS, k=random.randint(1, 3))).decode("utf-8", "replace")
    tokens = random.choice('\n\r\t\0 "\\') if random.random() < 0.3 else tokens  # what a line's field can't hold
    place = random.randint(0, len(found[name]))
    found[name] = tokens if random.random() < 0.3 else found[name][:place] + tokens + found[name][place:]
    return json.dumps(found, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _line_mutated(value: bytes, random: Random, corpus: Sequence[bytes]) -> bytes:
    """What is in an envelope, mutated, and put back."""
    try:
        line = json.loads(value)["log"].encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return value
    mutated = random.choice(_MUTATIONS)(line, random, corpus)
    return wrapped(mutated.decode("utf-8", "replace"), random.randrange(12))


def _nested(value: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """The value as the line, or as a member, of an object."""
    text = value.decode("utf-8", "replace")
    if random.random() < 0.5:
        return wrapped(text, random.randrange(12))
    return json.dumps({random.choice(("x", "log", "status", "time")): text, "status": 200}).encode()


def _lengthened(value: bytes, random: Random) -> bytes:
    """A token or a piece of the value, over and over."""
    start, end = _span(value, random, 20)
    piece = value[start:end] if end > start and random.random() < 0.5 else random.choice(TOKENS)
    size = random.choice((MAX_LINE_BYTES - len(value), MAX_LINE_BYTES, 4_096, 40_000))
    return value[:start] + piece * max(1, size // len(piece)) + value[start:]


_MUTATIONS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    *(_token_in, _token_over, _token_at_border, _token_at_border, _text_replaced, _text_replaced),
    *(_number_replaced, _member_replaced, _member_replaced, _member_again, _escaped, _cut, _cut_off),
    *(_byte_changed, _doubled, _stretched, _member_changed, _line_mutated, _line_mutated, _spliced, _nested),
)
