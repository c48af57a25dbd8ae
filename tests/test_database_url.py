"""A database URL that can be read in two ways is refused, and none of it is shown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kpi_app.database_url import unambiguous
from kpi_app.errors import UserError
from kpi_app.settings import load

#: What is put into a place of a URL where only its encoded form may be.
ENCODED = {"@": "%40", "/": "%2F", "#": "%23", "?": "%3F", "[": "%5B", "]": "%5D"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://kpi:s3cr@t@127.0.0.1:1/kpi",
        "postgresql://kpi:s3@cr/et@127.0.0.1:1/kpi",
        "postgresql://kpi:s3/cret@127.0.0.1:1/kpi",
        "postgresql://kpi:s3#cret@127.0.0.1:1/kpi",
        "postgresql://kpi:53#ret@127.0.0.1:1/kpi",
        "postgresql://kpi:53?cret@127.0.0.1:1/kpi",
        "postgresql://kpi:53?s3=cret@127.0.0.1:1/kpi",
        "postgresql://kpi:s3[cret@127.0.0.1:/kpi@s3cret",
        "postgresql://kpi@s3cret@127.0.0.1/kpi",
        "postgresql://127.0.0.1/kpi@s3cret",
        "postgresql://127.0.0.1/kpi?password=s3@cret",
        "postgresql://127.0.0.1/kpi?s3cret",
        "postgresql://s3cret:s3cret:1/kpi",
        "postgresql:kpi:s3cret@127.0.0.1/kpi",
        "postgresql://kpi:s3[cret]@127.0.0.1/kpi",
        "s3cret",
        "postgresql://[s3cret/kpi",
    ],
)
def test_a_url_of_two_readings_is_refused_in_silence_about_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any host is looked up that may be the end of a password."""
    monkeypatch.setenv("KPI_DATABASE_URL", url)
    with pytest.raises(UserError) as refused:
        load()
    line = str(refused.value)
    assert re.fullmatch(
        r"KPI_DATABASE_URL=\(hidden\): (not postgresql://user:password@host:port/database.*|its port .*)", line
    )
    assert not {"s3", "cr", "et"} & set(re.findall(r"\w+", line))


@pytest.mark.parametrize("place", ["h:99999", "h:0", "h:65536", "h:12x", "h:1,h:99999", "h/kpi?port=99999", "h:٣"])
def test_a_port_that_is_none_is_told(place: str) -> None:
    """Also of one host among several, and where it stands as a parameter."""
    with pytest.raises(ValueError, match="its port is none of 1 to 65535"):
        unambiguous(SecretStr(f"postgresql://kpi@{place}"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://kpi@db",
        "postgresql://kpi:pa:ss%40word@db.example:5433/kpi?sslmode=verify-full&sslrootcert=/etc/kpi/ca.pem",
        "postgresql://kpi@[::1]:5432/kpi",
        "postgresql://kpi@one:5432,two:65535,three/kpi?target_session_attrs=primary",
        "postgresql://kpi@%2Fvar%2Frun%2Fpostgresql/kpi",
        "postgresql:///kpi?host=/var/run/postgresql&port=5433&user=kpi",
    ],
)
def test_what_libpq_takes_is_taken(url: str) -> None:
    """Several hosts, sockets, IPv6, parameters."""
    assert unambiguous(SecretStr(url)).get_secret_value() == url


@given(st.text("ab:%@/#?&=[]", min_size=1), st.text("ab:@/#?", min_size=1))
def test_an_encoded_password_is_always_taken(password: str, user: str) -> None:
    """Whatever it holds: the message says what to write, and that is enough."""
    written = password.replace("%", "%25")
    for plain, code in ENCODED.items():
        written = written.replace(plain, code)
        user = user.replace(plain, code)
    unambiguous(SecretStr(f"postgresql://{user}:{written}@db:5432/kpi"))
