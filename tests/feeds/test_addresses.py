"""Addresses: which client a line is of, and what is kept of an address."""

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.feeds.addresses import anonymised, anonymised_start, client_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("10.1.1.1", "6.6.6.6, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("2001:db8:ffff::1", "2001:DB8:0::5", "2001:db8::5"),
        ("10.1.1.1", "203.0.113.9:5123", "203.0.113.9"),
        ("10.1.1.1", "[2001:db8::5]:443", "2001:db8::5"),
        ("::ffff:10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("10.1.1.1", "-", "10.1.1.1"),
        ("10.1.1.1", None, "10.1.1.1"),
        ("10.1.1.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ("10.1.1.1", "203.0.113.9, unknown, 10.2.2.2", "10.2.2.2"),
        ("unix:", "203.0.113.9", "unix:"),
        ("10.1.1.1", "1" * 100_000, "10.1.1.1"),
    ],
)
def test_client_is_the_last_hop_that_is_no_trusted_proxy(peer: str, forwarded: str | None, client: str) -> None:
    """Only a trusted peer's header counts, and no further than to the first hop that nobody vouches for."""
    assert client_of(peer, forwarded, TRUSTED) == client
    assert client_of(peer, forwarded, ()) == peer


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:db8::5", "2001:db8::"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("unix:", None),
        ("host.example", None),
        ("203.0.113.999", None),
        ("203.0.113.09", None),
        ("-", None),
    ],
)
def test_of_an_address_the_network_is_kept(address: str, network: str | None) -> None:
    """The last octet and the last 80 bits are 0; a host name has no network."""
    assert anonymised(address) == network


@given(st.integers(0, 2**32 - 1) | st.integers(2**32, 2**128 - 1))
def test_anonymised_address_is_the_address_without_its_end(number: int) -> None:
    """Whatever the address."""
    address = ip_address(number)
    kept = ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False).network_address
    if address.version == 4 or address.ipv4_mapped is None:
        assert anonymised(str(address)) == str(kept)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b'203.0.113.9 - - [23/May/2023:14:21:08 +0000] "GET', b'203.0.113.0 - - [23/May/2023:14:21:08 +0000] "GET'),
        (b'{"log":"2001:db8:1:2:3:4:5:6 - -"}', b'{"log":"2001:db8:1:: - -"}'),
        (b"x=2001:db8::5, ::1,::ffff:203.0.113.9;", b"x=2001:db8::, ::,::;"),
        (b"1:2:3:4:5:6:203.0.113.9", b"1:2:3::"),
        (b"203.0.113.9:443", b"203.0.113.0:443"),
        (b"Chrome/131.0.0.0 14:21:08 1.2.3", b"Chrome/131.0.0.0 14:21:08 1.2.3"),
        (b"\xff203.0.113.9\x00", b"\xff203.0.113.0\x00"),
    ],
)
def test_what_looks_like_an_address_is_kept_without_its_end(value: bytes, kept: bytes) -> None:
    """In bytes of any kind; times of day and versions stay."""
    assert anonymised_start(value, 4_096) == kept


@given(st.binary(max_size=60), st.ip_addresses(), st.binary(max_size=60), st.integers(0, 140))
def test_no_address_is_kept_in_full(before: bytes, address: object, after: bytes, size: int) -> None:
    """Not at the place of the cut either."""
    if ip_address(str(address)).version == 6:
        full = ip_address(str(address)).exploded.encode()
        kept = anonymised_start(before + b" " + full + b" " + after, size)
        assert full[:24] not in kept
    else:
        full = str(address).encode()
        kept = anonymised_start(before + b" " + full + b" " + after, size)
        assert full.endswith(b".0") or not re.search(rb"(?<![0-9.])" + re.escape(full) + rb"(?![0-9.])", kept)
    assert len(kept) <= size
