"""Exchanges: what is asked and answered, in generated traffic, from the request to the body's size."""

from collections.abc import Iterable
from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple

from kpi_app.sources.visitors import Pool, zipf

#: `scan`: someone looks for holes, 404s. `outage`: what the site stands on is down, 5xx.
Mood = Literal["normal", "scan", "outage"]

#: Of the requests in a minute of that mood, those that are answered in each way.
_SHARES: dict[Mood, dict[str, float]] = {
    "normal": {"fine": 0.938, "moved": 0.025, "missing": 0.03, "refused": 0.005, "broken": 0.002},
    "scan": {"fine": 0.30, "moved": 0.01, "missing": 0.66, "refused": 0.03, "broken": 0.0},
    "outage": {"fine": 0.55, "moved": 0.01, "missing": 0.03, "refused": 0.01, "broken": 0.40},
}
_PROTOCOLS = (("HTTP/2.0", 0.62), ("HTTP/1.1", 0.36), ("HTTP/1.0", 0.02))
_HOLES = (
    *("/wp-login.php", "/.env", "/xmlrpc.php", "/.git/config", "/admin/", "/phpmyadmin/", "/vendor/phpunit/"),
    *("/cgi-bin/luci/;stok=/locale", "/actuator/health", "/wp-content/plugins/x/readme.txt", "/boaform/formLogin"),
)
_FIRST = (
    *("GET /", "GET /static/app.4f2a9c.js", "GET /static/site.91bc.css", "GET /products/", "POST /api/v1/events"),
    *("POST /data.php?fl=1&url=https://www.google.com/", "GET /robots.txt", "POST /api/v1/cart", "HEAD /"),
    *("PUT /api/v1/cart", "OPTIONS /api/v1/cart", "DELETE /api/v1/cart/1"),
)
_NAMES = ("runner", "trail", "caf%C3%A9", "winter", "kids", "sale", "classic", "ultra")


class _Answer(NamedTuple):
    kind: str
    request: str  # method and target
    status: int
    size: int
    weight: float


def exchanges(random: Random, mood: Mood) -> Pool[str]:
    """The middle of a line, from the end of its time on: `] "GET / HTTP/1.1" 200 4523 `."""
    shares = _SHARES[mood]
    pairs = [(answer, *protocol) for answer in _answers(random) for protocol in _PROTOCOLS]
    texts = [f'] "{answer.request} {protocol}" {answer.status} {answer.size} ' for answer, protocol, _ in pairs]
    weights = (answer.weight * shares[answer.kind] * weight for answer, _, weight in pairs)
    return Pool(texts, list(accumulate(weights)))


def _answers(random: Random) -> Iterable[_Answer]:
    yield from _fine(random)
    for rank, weight in enumerate(zipf(1.0, 60)):
        yield _Answer("moved", f"GET /old/{rank}", random.choice((301, 301, 302, 308)), 162, weight)
    gone = [*_HOLES, "/favicon.ico", *(f"/products/gone-{i}?ref={i * 37}" for i in range(120))]
    for target, weight in zip(gone, zipf(1.0, len(gone)), strict=True):
        yield _Answer("missing", f"GET {target}", 404, 548, weight)
    for status, weight in ((403, 0.4), (499, 0.35), (429, 0.2), (405, 0.05)):
        yield _Answer("refused", "POST /api/v1/login", status, 0 if status == 499 else 153, weight)
    for target in ("/api/v1/cart", "/checkout", "/search?q=shoes", "/"):
        for status, weight in ((502, 0.5), (500, 0.25), (503, 0.2), (504, 0.05)):
            yield _Answer("broken", f"GET {target}", status, 497, weight / 4)


def _fine(random: Random) -> Iterable[_Answer]:
    targets = [*_FIRST, *_others(random)]
    for request, weight in zip(targets, zipf(1.0, len(targets)), strict=True):
        size = random.randrange(600, 90_000)
        if request.startswith(("HEAD", "OPTIONS")):
            yield _Answer("fine", request, 200 if request.startswith("HEAD") else 204, 0, weight)
        elif "/static/" in request or request.endswith(".txt"):
            yield _Answer("fine", request, 200, size, weight * 0.7)
            yield _Answer("fine", request, 304, 0, weight * 0.28)
            yield _Answer("fine", request, 206, size // 3, weight * 0.02)
        else:
            for _ in range(3):  # a page is not always of the same size
                yield _Answer("fine", request, 200, size + random.randrange(3_000), weight / 3)


def _others(random: Random) -> list[str]:
    """What is asked for less often than `_FIRST`, in this order."""
    names = [random.choice(_NAMES) for _ in range(900)]
    requests = [f"GET /products/{name}-{i}" for i, name in enumerate(names)]
    requests += [f"GET /search?q={name}&page={i % 9 + 1}&sid={i * 7919}" for i, name in enumerate(names[:300])]
    requests += [f"GET /blog/{2020 + i % 6}/{i % 12 + 1:02}/post-{i}/?utm_source=newsletter" for i in range(150)]
    requests += [f"GET /static/img/{i}.webp" for i in range(400)]
    requests += [f"GET /api/v1/products/{i}?fields=price,stock" for i in range(200)]
    random.shuffle(requests)
    return requests
