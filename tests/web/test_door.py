"""Who is let in to the pages: everybody, or who knows the password or the token."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import TCPSite
from pydantic import SecretStr

from kpi_app.errors import SinkBusy
from kpi_app.settings import Settings
from kpi_app.stream.bend import close_idle
from kpi_app.stream.bend.web import IDLE_S
from kpi_app.stream.metrics import Metrics
from kpi_app.web import Door
from tests.web.conftest import pages
from tests.web.test_answers import PAGES
from tests.web.worker import Group, Owned, Reader


def basic(user: str, password: str) -> str:
    """What a browser says."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


PASSWORD, TOKEN = "pässword:1", "0123456789abcdef"
CLOSED = [path for path in PAGES if path not in ("/livez", "/readyz")]
RIGHT = {
    "password": basic("kpi", PASSWORD),
    "token": f"Bearer {TOKEN}",
    "token, in other words": f"bearer  {TOKEN} ",
}
WRONG = {
    "nothing": "",
    "another password": basic("kpi", "pässword:2"),
    "another user": basic("root", PASSWORD),
    "no password": basic("kpi", ""),
    "the start of the token": f"Bearer {TOKEN[:-1]}",
    "the token and more": f"Bearer {TOKEN}0",
    "no token": "Bearer",
    "the password as a token": f"Bearer {PASSWORD}",
    "the token as a password": basic("kpi", TOKEN),
    "no base64": "Basic $$$$",
    "no text": f"Basic {base64.b64encode(bytes([255, 58, 254])).decode()}",
    "another scheme": f"Digest {TOKEN}",
}


@pytest.fixture
async def client(owned: Owned, group: Group, reader: Reader, metrics: Metrics) -> AsyncIterator[TestClient[Any, Any]]:
    """The pages behind a locked door."""
    app = pages(owned, group, reader, metrics, Door("kpi", PASSWORD, TOKEN))
    async with TestClient(TestServer(app.web.web_app)) as client:
        yield client


@pytest.mark.parametrize("path", CLOSED)
async def test_a_stranger_gets_no_page(client: TestClient[Any, Any], path: str) -> None:
    """Not even to know which there are; a browser is told to ask for the password."""
    answer = await client.get(path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert await answer.json() == {"error": "who are you?"}


@pytest.mark.parametrize("said", RIGHT.values(), ids=RIGHT)
async def test_password_and_token_open_every_page(client: TestClient[Any, Any], said: str) -> None:
    """Either of them."""
    for path in CLOSED:
        assert (await client.get(path, headers={"Authorization": said})).status in (200, 404), path


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
async def test_anything_else_opens_none(client: TestClient[Any, Any], said: str) -> None:
    """However close it comes."""
    assert (await client.get("/kpi/windows", headers={"Authorization": said})).status == 401


async def test_probes_stay_open_and_tell_strangers_no_reasons(client: TestClient[Any, Any], reader: Reader) -> None:
    """Their status is for whoever starts and stops workers; where Postgres is, is not."""
    assert (await client.get("/livez")).status == 200
    assert (await client.get("/readyz")).status == 200
    reader.error = SinkBusy("Postgres at 10.0.0.7 is away")
    answer = await client.get("/readyz")
    assert (answer.status, await answer.json()) == (503, {"ok": False})
    known = await client.get("/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
    assert "10.0.0.7" in await known.text()


@pytest.mark.parametrize("said", ["", "Bearer", "Bearer ", "Basic", basic("", ""), basic("kpi", "")])
def test_what_is_not_set_opens_nothing(said: str) -> None:
    """An empty password or token is none."""
    assert not Door("kpi", PASSWORD, "").opens(said)
    assert not Door("kpi", "", TOKEN).opens(said)
    assert not Door("", "", TOKEN).opens(said)


def test_a_token_alone_asks_for_a_token() -> None:
    """No browser is to ask for a password that there is not."""
    assert Door(token=TOKEN).challenge.startswith("Bearer ")


def test_the_door_is_that_of_the_settings() -> None:
    """And its keys don't show."""
    settings = Settings(web_user="me", web_password=SecretStr(PASSWORD), web_token=SecretStr(TOKEN))
    assert Door.of(settings) == Door("me", PASSWORD, TOKEN)
    assert PASSWORD not in repr(Door.of(settings))
    assert TOKEN not in repr(Door.of(settings))
    assert not Door.of(Settings()).locked


async def test_half_a_request_is_not_waited_for(owned: Owned, group: Group, reader: Reader) -> None:
    """A stranger's connection is closed; the worker's own server has a limit for it."""
    app = pages(owned, group, reader, Metrics())
    assert app.web._runner._kwargs["keepalive_timeout"] == IDLE_S
    close_idle(app, 0.05)
    await app.web._runner.setup()
    site = TCPSite(app.web._runner, "127.0.0.1", 0)
    await site.start()
    port = app.web._runner.addresses[0][1]
    told, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: ")
    async with asyncio.timeout(20):
        assert await told.read() == b""
    writer.close()
    await app.web._runner.cleanup()
