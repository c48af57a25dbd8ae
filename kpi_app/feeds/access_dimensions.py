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
from itertools import chain

import numpy as np
import polars as pl

from kpi_app.core.categorical import categorical
from kpi_app.feeds.addresses import anonymised, client_of
from kpi_app.feeds.agents import Agent, look_up
from kpi_app.feeds.base import BY, Reading
from kpi_app.feeds.distinct import for_each
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

#: Of the hash that stands for a visitor, bytes: what the sketches of visitors take.
_HASH_BYTES = 8

#: The longest key that BLAKE2b takes, bytes.
_LONGEST_KEY = hashlib.blake2b.MAX_KEY_SIZE


def dimensions(told: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Give `by_<dimension>` (Categorical) for each of `DIMENSIONS`, `is_bot` (Boolean) and `visitor` (UInt64).

    `told`: the columns of `access_fields.TEXTS`; those of a rejected line are null, and then all is. `visitor` is made
    of keyed hashes of the client's address, before it is anonymised, and of the agent: the same for equal ones and
    one key.
    """
    requests, *others = for_each(
        [
            (told["request"], _parts),
            (told["host"], _hosts),
            (told["referrer"], _sites),
            (told["agent"], _Agents(reading)),
            (_clients(told, reading), _Clients(reading)),
        ]
    )
    status = categorical(_or_none(told["status"], "-"))
    by = pl.DataFrame([status, *_requests(told, requests), *chain.from_iterable(others)])
    accepted = pl.col("status").is_not_null()
    return by.select_seq(
        *(pl.col(name).alias(f"{BY}{name}") for name in DIMENSIONS),
        is_bot=pl.when(accepted).then(pl.col("is_bot").fill_null(False)),
        visitor=pl.when(accepted).then(pl.col("client_hash").fill_null(0) + pl.col("agent_hash").fill_null(0)),
    )


def _clients(told: pl.DataFrame, reading: Reading) -> pl.Series:
    """Give the clients' addresses as they are written; those of the peers where no proxy is trusted."""
    if not reading.trusted_proxies:
        return told["client"]

    def through_proxies(hops: pl.Series) -> pl.DataFrame:
        found = [client_of(*_peer_and_xff(hop), reading.trusted_proxies) for hop in hops]
        return pl.Series("client", found, dtype=pl.String).to_frame()

    # as one text, to be looked up; in a JSON line either may hold any character, so their border is said as a length
    hops = told.select(
        pl.concat_str(pl.col("client").str.len_chars(), pl.lit(" "), "client", pl.col("xff").fill_null(""))
    )
    (found,) = for_each([(hops.to_series(), through_proxies)])
    return found.to_series().cast(pl.String)


def _peer_and_xff(hop: str) -> tuple[str, str]:
    size, both = hop.split(" ", 1)
    return both[: int(size)], both[int(size) :]


class _Hash:
    """Makes hashes (UInt64) of texts that nobody without the key can make; `of` keeps those of one thing apart."""

    def __init__(self, key: bytes, of: str) -> None:
        key = key if len(key) <= _LONGEST_KEY else hashlib.blake2b(key).digest()
        self._keyed = hashlib.blake2b(key=key, digest_size=_HASH_BYTES, person=of.encode())
        self._name = f"{of}_hash"

    def __call__(self, texts: pl.Series) -> pl.Series:
        digests = b"".join(map(self._digest, texts.cast(pl.Binary).to_list()))
        return pl.Series(self._name, np.frombuffer(digests, dtype="<u8"), dtype=pl.UInt64)

    def _digest(self, text: bytes) -> bytes:
        one = self._keyed.copy()
        one.update(text)
        return one.digest()


class _Agents:
    """What agents are, and their hashes."""

    def __init__(self, reading: Reading) -> None:
        self._hash = _Hash(reading.visitor_key, "agent")

    def __call__(self, agents: pl.Series) -> pl.DataFrame:
        found = pl.DataFrame(
            [look_up(agent) for agent in agents], dict.fromkeys(Agent._fields, pl.String), orient="row"
        )
        return found.hstack([self._hash(agents), (found["bot"] != NONE).alias("is_bot")])


class _Clients:
    """What is kept of clients' addresses, and the hashes of the whole ones."""

    def __init__(self, reading: Reading) -> None:
        self._hash = _Hash(reading.visitor_key, "client")
        self._kept = _networks if reading.anonymise_ip else _cleaned

    def __call__(self, clients: pl.Series) -> pl.DataFrame:
        return pl.DataFrame([self._kept(clients), self._hash(clients)])


def _cleaned(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [clean(value) for value in values], dtype=pl.String)


def _networks(clients: pl.Series) -> pl.Series:
    """Give the addresses' networks; those of the many IPv4 ones as a column."""
    networks = clients.str.extract(_IPV4) + "0"
    if not networks.null_count():
        return networks.alias(clients.name)
    rows = networks.is_null().arg_true()
    others = [anonymised(client) or NONE for client in clients.gather(rows)]
    return networks.scatter(rows, pl.Series(others, dtype=pl.String)).alias(clients.name)


def _hosts(hosts: pl.Series) -> pl.DataFrame:
    shown = pl.col(hosts.name).str.to_lowercase().str.replace(_PORT, "")
    return _cleaned(hosts.to_frame().select(shown).to_series()).to_frame()


def _sites(referrers: pl.Series) -> pl.DataFrame:
    site = pl.col(referrers.name).str.extract(_SITE).str.to_lowercase().fill_null("")
    return _cleaned(referrers.to_frame().select(site).to_series()).to_frame()


def _requests(told: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Give `method`, `path` and `protocol`: `parts` of the request line, or of what the line gives in its place."""
    if told["request"].null_count() == told["status"].null_count():
        return parts  # where there is no status, the line is rejected, and has no request
    rows = (told["request"].is_null() & told["status"].is_not_null()).arg_true()
    single = _shown(_single_parts(told[rows]))
    return pl.DataFrame([categorical(column) for column in _scatter(parts.cast(pl.String), rows, single)])


def _parts(requests: pl.Series) -> pl.DataFrame:
    """Give the parts of request lines, `(none)` for what is none."""
    parts = requests.str.extract_groups(_REQUEST).struct.unnest()
    if parts["method"].null_count():
        rows = parts["method"].is_null().arg_true()
        rest = requests.gather(rows).str.extract_groups(_OTHER_REQUEST).struct.unnest().with_columns(path=_path())
        parts = _scatter(parts, rows, rest.with_columns(pl.all().fill_null("")))
    return _shown(parts)


def _shown(parts: pl.DataFrame) -> pl.DataFrame:
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
