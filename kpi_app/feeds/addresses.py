"""Addresses: who asked, by way of which proxies, and how much of that is kept."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: The longest text that is looked at as an address: an IPv6 one, in brackets, with a zone or a port.
_LONGEST = 64

#: Hops of an X-Forwarded-For that are looked at, from its end.
_MAX_HOPS = 32

#: Bits of an IPv6 address that are kept: the network of a customer, not the subnet or the device.
_KEPT_V6_BITS = 48

_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")


def address_of(text: str) -> Address | None:
    """Read an address; None where it is none. An IPv4 address in IPv6's clothes (`::ffff:…`) is the IPv4 one."""
    return _address_of(text) if len(text) <= _LONGEST else None  # longer texts would fill the cache


@lru_cache(maxsize=16_384)
def _address_of(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_of(peer: str, forwarded: str | None, trusted: Sequence[Network]) -> str:
    """Give the client: the last hop of `forwarded` (an X-Forwarded-For) that is no trusted proxy.

    The header counts only where the peer is a trusted proxy; what stands left of the first hop that isn't may be made
    up. A hop that is no address (a port behind it does no harm) ends the look: the client is the one found last.
    """
    client, hop = peer, address_of(peer)
    for text in reversed((forwarded or "").rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
        if hop is None or not _is_in(hop, trusted):
            break
        hop = _hop(text.strip())
        client = client if hop is None else str(hop)
    return client


def _hop(text: str) -> Address | None:
    with_port = _WITH_PORT.fullmatch(text) if len(text) <= _LONGEST else None
    return address_of((with_port[1] or with_port[2]) if with_port else text)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def anonymised(text: str) -> str | None:
    """Give the network of an address: the last octet 0, of IPv6 the last 80 bits; None for what is no address."""
    return _anonymised(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=16_384)
def _anonymised(text: str) -> str | None:
    address = address_of(text)
    if address is None:
        return None
    if isinstance(address, IPv4Address):
        return str(IPv4Address(int(address) & ~0xFF))
    kept = ~((1 << (128 - _KEPT_V6_BITS)) - 1)
    return str(IPv6Address(int(address) & kept))


# What looks like an address in bytes of any kind. Each takes as much as it can and never gives back.
_LIKE_V4 = re.compile(rb"([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.)[0-9]+")
_LIKE_V6 = re.compile(rb"[0-9A-Fa-f:]{2,}+(?:\.[0-9]++)*+")
_ADDRESS_CHARACTERS = b"0123456789abcdefABCDEF:."


def anonymised_start(value: bytes, size: int) -> bytes:
    """Give at most `size` bytes of a value, with nothing in them that looks like a full address.

    Of what looks like IPv4 the last number becomes 0; of what looks like IPv6 (eight groups, or `::` in it) the first
    three groups stay. An address that the cut goes through is left out.
    """
    start = value[:size]
    if len(value) > size:
        start = start[:-_LONGEST] + start[-_LONGEST:].rstrip(_ADDRESS_CHARACTERS)
    return _LIKE_V4.sub(rb"\g<1>0", _LIKE_V6.sub(_without_end, start))[:size]


def _without_end(like: re.Match[bytes]) -> bytes:
    text = like[0]
    colons = text.count(b":") + (b"." in text)  # an IPv4 address at the end stands for two groups
    if b"::" not in text and colons < 7:
        return text  # a time of day, a port, a number
    groups = text.split(b"::")[0].split(b":")[:3]
    return b":".join(groups) + b"::"
