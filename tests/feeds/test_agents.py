"""Agents: browsers, systems, devices and bots by the text that they send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.feeds.agents import NO_AGENT, look_up
from kpi_app.sources.visitors import BOTS, BROWSERS, SCANNER

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 {}Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        (CHROME.format("Windows NT 10.0; Win64; x64", ""), ("Chrome", "Windows", "Desktop")),
        (CHROME.format("Linux; Android 10; K", "Mobile "), ("Chrome Mobile", "Android", "Mobile")),
        (CHROME.format("X11; CrOS x86_64 14541.0.0", ""), ("Chrome", "Chrome OS", "Desktop")),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
            ("Firefox", "Ubuntu", "Desktop"),
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 "
            "Mobile/15E148 Safari/604.1",
            ("Mobile Safari", "iOS", "Tablet"),
        ),
        ("something of my own", ("Other", "Other", "Other")),
    ],
)
def test_people_have_a_browser_a_system_and_a_device(agent: str, told: tuple[str, str, str]) -> None:
    """And are no bots."""
    assert look_up(agent) == (*told, "(none)")


@pytest.mark.parametrize("agent", BROWSERS)
def test_no_browser_is_a_bot(agent: str) -> None:
    """A person who is taken for a bot would be a wrong number."""
    assert look_up(agent).bot == "(none)"
    assert "Other" not in look_up(agent)


@pytest.mark.parametrize("agent", BOTS)
def test_bots_are_told_by_name(agent: str) -> None:
    """AI crawlers among them; the name is one that stands in the agent."""
    browser, _, device, bot = look_up(agent)
    assert (browser, device) == ("Bot", "Bot")
    assert bot.lower() in agent.lower()
    assert "/" not in bot


@pytest.mark.parametrize(
    ("agent", "bot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot"),
        ("Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot"),
        ("Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "ClaudeBot"),
        ("Mozilla/5.0 (compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)", "PerplexityBot"),
        (
            "Mozilla/5.0 (Linux; Android 5.0) Mobile Safari/537.36 (compatible; Bytespider; x@bytedance.com)",
            "Bytespider",
        ),
        ("Mozilla/5.0 (compatible; Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot)", "Amazonbot"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot"),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "YandexBot"),
        (
            "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
            "meta-externalagent",
        ),
        ("CCBot/2.0 (https://commoncrawl.org/faq/)", "CCBot"),
        ("Mozilla/5.0 (compatible; NewFangledBot/1.0)", "NewFangledBot"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32.3", "python-requests"),
        (SCANNER, "zgrab"),
    ],
)
def test_bot_goes_by_its_own_name(agent: str, bot: str) -> None:
    """Those that people look for, libraries and scanners too, and one on no list."""
    assert look_up(agent).bot == bot


@pytest.mark.parametrize("agent", ["", "-"])
def test_no_agent_is_nothing(agent: str) -> None:
    """It is no bot either."""
    assert look_up(agent) == NO_AGENT == ("(none)",) * 4


@given(st.text() | st.text(alphabet="bot /;()\0\x1b\u202e", max_size=3_000))
def test_any_agent_is_told_something_safe(agent: str) -> None:
    """Whatever it holds and however long it is."""
    for value in look_up(agent):
        assert value
        assert len(value.encode()) <= 512
        assert not set(value) & set("\0\x1b\u202e")
