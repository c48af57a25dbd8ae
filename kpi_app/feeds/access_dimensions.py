"""Dimensions: by what the requests of an access log are counted, and who its visitors are.

    status     as in the line
    method     of a request `METHOD target PROTOCOL`, and of no other (probes, TLS bytes, nothing at all)
    protocol   such as `HTTP/1.1`
    path       the target without its query and fragment, of an absolute URI without scheme and host; as it is written
    host       that was asked for, lower case, without its port
    referrer   the site: the host of the Referer's URL, lower case, without its port; what is no URL gives none
    browser, os, device, bot   by the agent: see `agents`
    client     an address: see `addresses`; where anonymised, its network, and none for a host name

What takes time is done once for each distinct value of a batch.
"""

import hashlib
from collections.abc import Callable, Iterable

import polars as pl

from kpi_app.feeds.addresses import anonymised, client_of
from kpi_app.feeds.agents import Agent, look_up
from kpi_app.feeds.base import BY, Reading
from kpi_app.feeds.values import NONE, clean, clean_column

DIMENSIONS = (
    *("status", "method", "protocol", "host", "path", "referrer"),
    *("browser", "os", "device", "bot", "client"),
)

_METHOD = "[A-Z][A-Z0-9_-]{0,19}"
_PROTOCOL = r"HTTP/[0-9](?:\.[0-9])?"
_REQUEST = rf"^(?P<method>{_METHOD}) (?P<path>/[^ ?#]*)(?:[?#][^ ]*)? (?P<protocol>{_PROTOCOL})$"

# The rest: an absolute URI, the `*` of OPTIONS, the host and port of CONNECT.
_ANY_TARGET = "(?P<absolute>[A-Za-z][A-Za-z0-9+.-]*://[^/?# ]*)?(?P<path>[^ ?#]*)(?:[?#][^ ]*)?"
_OTHER_REQUEST = rf"^(?P<method>{_METHOD}) {_ANY_TARGET} (?P<protocol>{_PROTOCOL})$"
_TARGET = rf"^{_ANY_TARGET}$"

_HOST = r"(?:[0-9A-Za-z._-]|[^\x00-\x7f])+|\[[0-9A-Fa-f:.]+\]"
_SITE = rf"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?({_HOST})(?::[0-9]*)?(?:[/?#]|$)"
_PORT = ":[0-9]*$"

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^((?:{_OCTET}\.){{3}}){_OCTET}$"

#: Who a visitor is, in one text: a line break is in no address.
_PAIR = pl.concat_str(pl.col("client").fill_null(""), pl.lit("\n"), pl.col("agent").fill_null("")).alias("pair")

#: Of the hash that stands for a visitor, bytes: what the sketches of visitors take.
_HASH_BYTES = 8

#: The longest key that BLAKE2b takes, bytes.
_LONGEST_KEY = hashlib.blake2b.MAX_KEY_SIZE


def dimensions(told: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Give `by_<dimension>` (String) for each of `DIMENSIONS`, `is_bot` (Boolean) and `visitor` (UInt64).

    `told`: the columns of `access_fields.TEXTS`; those of a rejected line are null, and then all is. `visitor` is a
    keyed hash of the client's address, before it is anonymised, and the agent: the same for equal ones and one key.
    """
    known = told.with_columns(client=_clients(told, reading))
    networks = _networks if reading.anonymise_ip else _cleaned
    by = pl.DataFrame(
        [
            _or_none(known["status"], "-"),
            *_requests(known),
            *_for_each(known.select("host"), _hosts),
            *_for_each(known.select("referrer"), _sites),
            *_for_each(known.select("agent"), _agents),
            *_for_each(known.select("client"), networks),
            *_for_each(known.select(_PAIR), _Visitors(reading.visitor_key)),
        ]
    )
    accepted = told["status"].is_not_null()
    return by.select(
        *(pl.col(name).alias(f"{BY}{name}") for name in DIMENSIONS),
        is_bot=pl.when(accepted).then((pl.col("bot") != NONE).fill_null(False)),
        visitor=pl.when(accepted).then("visitor"),
    )


def _for_each(rows: pl.DataFrame, answer: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Give the columns that `answer` makes of each row, asking it for distinct rows without nulls; else null."""
    asked = [f"key_{name}" for name in rows.columns]
    keys = rows.rename(dict(zip(rows.columns, asked, strict=True)))
    if any(rows[name].null_count() == len(rows) for name in rows.columns):
        return answer(rows.clear()).clear(len(rows))  # as many nulls
    distinct = rows.unique().drop_nulls()
    table = distinct.rename(dict(zip(rows.columns, asked, strict=True))).hstack(answer(distinct))
    return keys.join(table, on=asked, how="left", maintain_order="left").drop(asked)


def _clients(told: pl.DataFrame, reading: Reading) -> pl.Series:
    """Give the clients' addresses as they are written; those of the peers where no proxy is trusted."""
    if not reading.trusted_proxies:
        return told["client"]

    def through_proxies(hops: pl.DataFrame) -> pl.DataFrame:
        return _texts("client", (client_of(peer, xff, reading.trusted_proxies) for peer, xff in hops.iter_rows()))

    found = _for_each(told.select("client", pl.col("xff").fill_null("")), through_proxies)
    return found.to_series()


class _Visitors:
    """Makes the hashes of clients and agents, with one key."""

    def __init__(self, key: bytes) -> None:
        key = key if len(key) <= _LONGEST_KEY else hashlib.blake2b(key).digest()
        self._keyed = hashlib.blake2b(key=key, digest_size=_HASH_BYTES)

    def __call__(self, pairs: pl.DataFrame) -> pl.DataFrame:
        hashes = [self._hash(pair) for pair in pairs.to_series().cast(pl.Binary).to_list()]
        return pl.Series("visitor", hashes, dtype=pl.Binary).bin.reinterpret(dtype=pl.UInt64).to_frame()

    def _hash(self, pair: bytes) -> bytes:
        one = self._keyed.copy()
        one.update(pair)
        return one.digest()


def _texts(name: str, texts: Iterable[str]) -> pl.DataFrame:
    return pl.Series(name, list(texts), dtype=pl.String).to_frame()


def _cleaned(values: pl.DataFrame) -> pl.DataFrame:
    [column] = values
    return _texts(column.name, map(clean, column))


def _networks(clients: pl.DataFrame) -> pl.DataFrame:
    """Give the addresses' networks; those of the many IPv4 ones as a column."""
    networks = clients["client"].str.extract(_IPV4) + "0"
    rows = networks.is_null().arg_true()
    others = [anonymised(client) or NONE for client in clients["client"].gather(rows)]
    return networks.scatter(rows, pl.Series(others, dtype=pl.String)).to_frame()


def _hosts(hosts: pl.DataFrame) -> pl.DataFrame:
    return _cleaned(hosts.select(pl.col("host").str.to_lowercase().str.replace(_PORT, "")))


def _sites(referrers: pl.DataFrame) -> pl.DataFrame:
    return _cleaned(referrers.select(pl.col("referrer").str.extract(_SITE).str.to_lowercase().fill_null("")))


def _agents(agents: pl.DataFrame) -> pl.DataFrame:
    found = [look_up(agent) for agent in agents["agent"]]
    return pl.DataFrame(found, dict.fromkeys(Agent._fields, pl.String), orient="row")


def _requests(told: pl.DataFrame) -> pl.DataFrame:
    """Give `method`, `path` and `protocol`: of the request line, or of what the line gives in its place."""
    request = told["request"]
    parts = request.str.extract_groups(_REQUEST).struct.unnest()
    rows = (parts["method"].is_null() & request.is_not_null()).arg_true()
    if len(rows):
        rest = request.gather(rows).str.extract_groups(_OTHER_REQUEST).struct.unnest().with_columns(path=_path())
        parts = _scatter(parts, rows, rest.with_columns(pl.all().fill_null("")))
    rows = (request.is_null() & told["status"].is_not_null()).arg_true()
    if len(rows):
        parts = _scatter(parts, rows, _single_parts(told[rows]))
    return pl.DataFrame([_or_none(parts["method"]), clean_column(parts["path"]), _or_none(parts["protocol"])])


def _scatter(parts: pl.DataFrame, rows: pl.Series, found: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([parts[name].scatter(rows, found[name]) for name in parts.columns])


def _path() -> pl.Expr:
    """Give the path of an absolute URI that has none as `/`."""
    return pl.when(pl.col("absolute").is_not_null() & (pl.col("path") == "")).then(pl.lit("/")).otherwise("path")


def _single_parts(told: pl.DataFrame) -> pl.DataFrame:
    """Give the parts of requests that a line gives one by one: null where it doesn't, empty where it is none."""
    targets = told["target"].str.extract_groups(_TARGET).struct.unnest().select(path=_path())["path"]
    return told.select(
        method=_if_fits("method", _METHOD),
        path=pl.when(pl.col("target").is_not_null()).then(targets.fill_null("")),
        protocol=_if_fits("protocol", _PROTOCOL),
    )


def _if_fits(name: str, pattern: str) -> pl.Expr:
    part = pl.col(name)
    return pl.when(part.str.contains(f"^(?:{pattern})$")).then(part).when(part.is_not_null()).then(pl.lit(""))


def _or_none(values: pl.Series, missing: str = "") -> pl.Series:
    """Mark what is missing in a column of values that need no other cleaning."""
    return values.set(values == missing, NONE)
