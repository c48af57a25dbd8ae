"""The page of real workers, in a real browser."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from aiokafka.admin import AIOKafkaAdminClient
from playwright.async_api import Browser, Error, Locator, Page, expect

from kpi_app.local.ports import free_port
from kpi_app.sinks.migrate import migrate
from kpi_app.stream.metrics import Metrics
from kpi_app.web import Door
from tests.conftest import Kafka, Postgres, create_topic, own_database
from tests.installed import installed
from tests.web.browser import PATIENCE_MS, browser, page
from tests.web.conftest import pages
from tests.web.running import Gate, Running, running_worker, send
from tests.web.test_live import row
from tests.web.worker import T0, Group, Owned, Reader, line

pytestmark = pytest.mark.asyncio(loop_scope="module")

expect.set_options(timeout=PATIENCE_MS)

#: Written by strangers, one in each place that a line has for them.
HOSTILE = [
    "/<img/src=x/onerror=alert(1)>",
    "/'\"><script>alert(2)</script>",
    "/${alert(3)}{{alert(4)}}%3Cscript%3E",
    "/\u202egpj.exe",
    "(other)",
    "javascript:alert(5)",
    "/&lt;b&gt;",
    "/" + "A" * 400,
]
#: More than a list shows at first.
PATHS = 20

AGENT = "<svg/onload=alert(6)>"
SITE = "https://<script>alert(7)</script>.example/"


@dataclass
class Shown:
    """Two workers, the first one's Postgres behind a gate, and a browser."""

    kafka: str
    topic: str
    workers: tuple[Running, Running]
    gate: Gate
    browser: Browser

    @property
    def url(self) -> str:
        """The first worker's page, of an hour in minutes."""
        return f"{self.workers[0].url}/?range=1h&size=60"


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(
    kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, monkeypatch_module: pytest.MonkeyPatch
) -> AsyncIterator[Shown]:
    installed("chromium", "chromium")  # or nothing has to be started
    name, directory = f"page-{uuid4().hex[:12]}", tmp_path_factory.mktemp("page")
    async with own_database(postgres.dsn, name) as dsn:
        await migrate(dsn)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await create_topic(admin, name, 2)
        # an hour before: many paths.   [0----60)[60---120)   two minutes, with a stranger's words in the second
        many = [line(n - 3_600).replace(b"GET / ", f"GET /{n} ".encode()) for n in range(PATHS)]
        lines = {0: [*many, line(0), line(1), line(2)], 1: [line(60), b"junk", *map(hostile, HOSTILE)]}
        await send(kafka.bootstrap, name, lines)
        gate = Gate(dsn)
        await gate.open()
        monkeypatch_module.setenv("KPI_IDLE_AFTER", "1s")  # windows close, and with them hours are made
        async with (
            running_worker(kafka.bootstrap, gate.dsn, name, made(directory / "a"), free_port()) as one,
            running_worker(kafka.bootstrap, dsn, name, made(directory / "b"), free_port()) as other,
            browser() as opened,
        ):
            await one.until("/kpi/windows", lambda answer: answer.body.count(b"window_start") == 3)
            await both_have_one(one)
            yield Shown(kafka.bootstrap, name, (one, other), gate, opened)
        await gate.shut()
        await admin.delete_topics([name])
        await admin.close()


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory


async def both_have_one(one: Running) -> None:
    """Wait until the second worker has its partition, as the first one sees it."""
    for number in (0, 1):
        await one.until(f"/kpi/segments?partition={number}", lambda answer: b'"source":"worker"' in answer.body)
    await one.until("/readyz", lambda answer: len(json.loads(answer.body)["partitions"]) == 1)


def hostile(path: str) -> bytes:
    """A line in the second minute."""
    said = line(70).decode().replace("GET / ", f"GET {path} ")
    return said.replace('"-" "-"', f'"{SITE}" "{AGENT}"').encode()


def tile(opened: Page, name: str) -> Locator:
    """The number of a figure."""
    return opened.locator(f'[data-name="{name}"] .number').first


def card(opened: Page, dimension: str) -> Locator:
    """A top list."""
    return opened.locator(f'[data-dimension="{dimension}"]')


async def test_it_shows_what_was_counted(shown: Shown) -> None:
    """Figures, charts, lists, and who has which partition; and that the range ends with an old line."""
    async with page(shown.browser, shown.url) as opened:
        await expect(tile(opened, "requests")).to_have_text("12")
        await expect(tile(opened, "visitors")).to_have_text("2")
        await expect(opened.locator("#charts svg path.bar").first).to_be_attached()
        await expect(card(opened, "status").locator("li").first).to_contain_text("200")
        await expect(opened.locator("#notes")).to_contain_text("14 Nov 2023")
        await expect(opened.locator("#ingest tbody tr")).to_have_count(2)
        await expect(opened.locator("#ingest .workers li")).to_have_count(2)
        await expect(opened.locator("#ingest tbody")).not_to_contain_text("nobody")
        await expect(tile(opened, "lag")).to_have_text("0")
        await expect(tile(opened, "rejected")).to_have_text("1")
        await expect(opened.locator("#pulse")).to_have_text("live")


async def test_new_lines_arrive_by_themselves(shown: Shown) -> None:
    """In the page as it is, without loading it again."""
    async with page(shown.browser, shown.url) as opened:
        await expect(tile(opened, "requests")).to_have_text("12")
        await opened.evaluate("window.same = true")
        await send(shown.kafka, shown.topic, {0: [line(120), line(121)]})
        await expect(tile(opened, "requests")).to_have_text("14")
        await expect(opened.locator("#tops .errors")).to_have_count(0)
        assert await opened.evaluate("window.same")


async def test_a_window_can_be_chosen_by_keyboard_and_by_mouse(shown: Shown) -> None:
    """Its figures and lists are shown, and it is in the URL; back goes back."""
    async with page(shown.browser, shown.url) as opened:
        chart = opened.get_by_role("slider").first
        await expect(card(opened, "path")).to_be_visible()
        whole = await tile(opened, "requests").text_content()
        await chart.focus()
        await opened.keyboard.press("End")
        while "2xx 3" not in (await chart.get_attribute("aria-valuetext") or ""):  # three lines: the first minute
            await opened.keyboard.press("ArrowLeft")
        await opened.keyboard.press("Enter")
        await expect(tile(opened, "requests")).to_have_text("3")
        await expect(card(opened, "path").locator("li")).to_have_count(1)
        assert "at=2023-11-14T22:14:00Z" in opened.url
        await opened.keyboard.press("Escape")
        await expect(tile(opened, "requests")).to_have_text(whole or "")
        await opened.go_back()
        await expect(tile(opened, "requests")).to_have_text("3")
        await opened.locator("#clear").click()
        await expect(tile(opened, "requests")).to_have_text(whole or "")

        width = await chart.evaluate("(chart) => chart.clientWidth")
        await chart.click(position={"x": width - 14, "y": 40})
        await expect(opened.locator("#clear")).to_be_visible()


async def test_an_hour_opens_into_its_minutes(shown: Shown) -> None:
    """A range that stands still, which the URL says: a reload shows the same."""
    await shown.workers[0].until("/kpi/windows?size=3600", lambda answer: b"window_start" in answer.body)
    async with page(shown.browser, f"{shown.workers[0].url}/?range=24h&size=3600") as opened:
        await expect(card(opened, "path")).to_be_visible()
        await opened.get_by_role("slider").first.focus()
        await opened.keyboard.press("End")
        await opened.keyboard.press("Enter")
        await opened.locator("#zoom").click()
        await expect(opened.locator("#pulse")).to_have_text("fixed range")
        assert opened.url.endswith("?from=2023-11-14T22:00:00Z&to=2023-11-14T23:00:00Z&size=60")
        for _ in range(2):
            await expect(opened.locator("#charts svg path.bar").first).to_be_attached()
            await expect(card(opened, "path")).to_be_visible()
            assert int(await tile(opened, "requests").text_content() or "") >= 12
            await opened.reload()


async def test_a_list_can_be_longer_and_a_range_be_dragged(shown: Shown) -> None:
    """Fifty values instead of twelve; and what the mouse was drawn over is all there is to see."""
    hour = "?from=2023-11-14T21:00:00Z&to=2023-11-14T22:00:00Z&size=60"
    async with page(shown.browser, f"{shown.workers[0].url}/{hour}") as opened:
        values = card(opened, "path").locator("li")
        await expect(values).to_have_count(13)
        await opened.locator("#more-path").click()
        await expect(values).to_have_count(PATHS)
        await opened.locator("#more-path").click()
        await expect(values).to_have_count(13)

        chart = opened.get_by_role("slider").first
        await chart.scroll_into_view_if_needed()
        box = await chart.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        await opened.mouse.move(box["x"] + box["width"] / 2, middle)
        await opened.mouse.down()
        await opened.mouse.move(box["x"] + box["width"] - 12, middle, steps=3)
        await opened.mouse.up()
        await expect(opened.locator("#tops")).to_contain_text("No line was counted in this range")
        assert opened.url.endswith("&to=2023-11-14T22:00:00Z&size=60")
        assert "from=2023-11-14T21:00" not in opened.url


async def test_strangers_words_are_text(shown: Shown) -> None:
    """They are all there to read, none of them is markup, and none of them runs."""
    async with page(shown.browser, f"{shown.url}&at=2023-11-14T22:15:00Z") as opened:
        values = card(opened, "path").locator("bdi")
        await expect(values).to_have_count(len(HOSTILE) + 1)
        read = set(await values.all_text_contents())
        assert {
            "/<img/src=x/onerror=alert(1)>",
            "/'\"><script>alert(2)</script>",
            "(other)",
            "javascript:alert(5)",
        } <= read
        assert {"/&lt;b&gt;", HOSTILE[-1]} <= read
        assert not any("\u202e" in value for value in read)
        assert await opened.locator("bdi *, #tops img, #tops svg, #tops script").count() == 0
        assert await opened.locator("script").count() == 1


async def test_the_browser_itself_refuses_markup(shown: Shown) -> None:
    """A mistake of ours would be an error in the console, not a stranger's script."""
    async with page(shown.browser, shown.url, provoked="TrustedHTML") as opened:
        with pytest.raises(Error, match="TrustedHTML"):
            await opened.evaluate("document.body.innerHTML = '<img src=x onerror=alert(8)>'")


async def test_language_and_colours_are_in_the_url(shown: Shown) -> None:
    """As the browser would have them, unless the URL says otherwise."""
    async with page(shown.browser, shown.url, locale="es-MX", color_scheme="dark") as opened:
        await expect(opened.locator("#charts h2").first).to_have_text("Peticiones por estado")
        assert await opened.evaluate("document.documentElement.lang") == "es"
        dark = await opened.evaluate("getComputedStyle(document.body).backgroundColor")
        await opened.locator("#lang").select_option("en")
        await expect(opened.locator("#charts h2").first).to_have_text("Requests by status")
        await opened.locator("#theme").select_option("light")
        assert opened.url.endswith("&lang=en&theme=light")
        assert await opened.evaluate("getComputedStyle(document.body).backgroundColor") != dark
        texts = await opened.evaluate(
            "import('./assets/texts.js').then(({TEXTS: {en, es}}) => [en, es].map((one) => keys(one)))" + KEYS
        )
        assert texts[0] == texts[1]


#: The names of all texts of a language, those in groups too.
KEYS = """; function keys(of, at = "") {
    const named = ([name, one]) => typeof one === "object" ? keys(one, name + ".") : at + name;
    return Object.entries(of).flatMap(named).sort();
}"""


async def test_it_fits_a_phone(shown: Shown) -> None:
    """Nothing sticks out, in any language; what one taps is large enough."""
    size = {"width": 360, "height": 740}
    for language in ("en", "es"):
        url = f"{shown.url}&lang={language}"
        async with page(shown.browser, url, viewport=size, has_touch=True, is_mobile=True) as opened:
            await expect(card(opened, "path")).to_be_visible()
            await expect(opened.locator("#ingest tbody tr")).to_have_count(2)
            assert await opened.evaluate("document.documentElement.scrollWidth") <= size["width"]
            heights = await opened.evaluate(
                "[...document.querySelectorAll('nav button')].map((one) => one.offsetHeight)"
            )
            assert min(heights) >= 40


async def test_it_works_behind_a_password(shown: Shown) -> None:
    """Its files, questions and events are asked for with what the browser was told."""
    app = pages(Owned(), Group(), Reader(rows=[row(10, 7)]), Metrics(), Door("kpi", "pässword:1"))
    async with TestServer(app.web.web_app) as server:
        user = {"username": "kpi", "password": "pässword:1"}
        url = str(server.make_url("/?range=1h&size=60"))
        async with page(shown.browser, url, http_credentials=user) as opened:
            await expect(tile(opened, "requests")).to_have_text("7")
            await expect(opened.locator("#pulse")).to_have_text("live")


async def test_segments_are_found_wherever_they_are(shown: Shown) -> None:
    """Each worker answers for both partitions, the same."""
    for number in (0, 1):
        answers = [await worker.get(f"/kpi/segments?partition={number}") for worker in shown.workers]
        told = [json.loads(answer.body) for answer in answers if answer]
        assert [one["source"] for one in told] == ["worker", "worker"]
        assert told[0]["owner"] == told[1]["owner"]
        assert told[0]["books"]["lines"] == told[1]["books"]["lines"] > 0
        assert min(segment["window_start"] for segment in told[0]["segments"]) >= "2023-11-14T22:14"
    assert T0 % 60 == 0


async def test_the_page_outlives_postgres(shown: Shown) -> None:
    """It says since when it stands, shows what it had, and goes on when Postgres is back."""
    async with page(shown.browser, shown.url) as opened:
        await expect(opened.locator("#pulse")).to_have_text("live")
        before = await tile(opened, "requests").text_content()
        await shown.gate.shut()
        try:
            await expect(opened.locator("#notes .bad")).to_contain_text("Postgres does not answer")
            await expect(tile(opened, "requests")).to_have_text(before or "")
        finally:
            await shown.gate.open()
        await send(shown.kafka, shown.topic, {0: [line(180)], 1: [line(180)]})
        await expect(tile(opened, "requests")).to_have_text(str(int(before or "") + 2))
        await expect(opened.locator("#notes .bad")).to_have_count(0)


async def test_a_worker_stops_though_somebody_looks(shown: Shown) -> None:
    """Within seconds; the page says that the connection is lost."""
    async with page(shown.browser, shown.url) as opened:
        await expect(opened.locator("#pulse")).to_have_text("live")
        shown.workers[0].process.terminate()
        assert await asyncio.wait_for(shown.workers[0].process.wait(), 20) == 0
        await expect(opened.locator("#pulse")).to_contain_text("connection lost")
