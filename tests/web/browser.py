"""A real browser, and everything that it complains about."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.installed import installed

#: Only ever spent by a test that fails, milliseconds.
PATIENCE_MS = 30_000


@dataclass
class Heard:
    """What happened in a page that nobody asked for."""

    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium."""
    async with async_playwright() as playwright:
        # as root, as in a container, it has no sandbox
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = await playwright.chromium.launch(executable_path=installed("chromium", "chromium"), args=arguments)
        yield started
        await started.close()


@asynccontextmanager
async def page(browser: Browser, url: str, provoked: str | None = None, **options: Any) -> AsyncIterator[Page]:
    """A page at `url`. In the end: no error in its console, no dialog, and no word to another origin.

    `provoked`: what an error is about that the test itself provokes.
    """
    context = await browser.new_context(**({"locale": "en-GB", "timezone_id": "Asia/Tokyo"} | options))
    context.set_default_timeout(PATIENCE_MS)
    opened, heard = await context.new_page(), Heard()
    opened.on("console", lambda said: said.type in ("error", "warning") and heard.complaints.append(said.text))
    opened.on("pageerror", lambda error: heard.complaints.append(str(error)))
    opened.on("dialog", lambda dialog: heard.complaints.append(f"dialog: {dialog.message}"))
    opened.on("request", lambda request: heard.asked.append(request.url))
    await opened.goto(url)
    yield opened
    await context.close()
    origin = "/".join(url.split("/")[:3])
    assert [one for one in heard.complaints if provoked is None or provoked not in one] == []
    assert [one for one in heard.asked if not one.startswith(f"{origin}/")] == []
    assert len(heard.asked) > 10  # or the browser was not listened to
