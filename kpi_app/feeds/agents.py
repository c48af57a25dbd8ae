"""Agents: browser, system, device and bot by the text that a program says of itself.

Families come from ua-parser, crawlers from the list of crawler-user-agents; both are kept up by many. All their regexes
run in Rust, in linear time, whatever the text.

    browser  ua-parser's family, such as `Chrome`, `Chrome Mobile`, `Firefox`; `Bot` for every bot
    os       ua-parser's family, such as `Windows`, `Android`, `iOS`
    device   one of `Desktop`, `Mobile`, `Tablet`, `TV`, `Bot`
    bot      the name of a bot, crawler or library, such as `Googlebot`, `GPTBot`, `curl`; `(none)` for people

`Other` is what neither knows.
"""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from ua_parser import Domain
from ua_parser import Resolver as Resolve
from ua_parser.loaders import load_lazy_builtins
from ua_parser.matchers import UserAgentMatcher
from ua_parser.regex import Resolver

from kpi_app.feeds.values import NONE, clean

#: Characters of an agent that are looked at; real ones have less. Time to read one grows with its length.
MAX_AGENT = 512

#: What patterns find beside a crawler's name.
_AROUND_NAMES = " /;:()+."

BOT = "Bot"
OTHER = "Other"

#: Agents that are remembered: with the texts themselves some 10 MB.
_REMEMBERED = 8_192


class Agent(NamedTuple):
    """What an agent is; each is a safe value, as `values` says."""

    browser: str
    os: str
    device: str
    bot: str


NO_AGENT = Agent(NONE, NONE, NONE, NONE)


def look_up(agent: str) -> Agent:
    """Tell what an agent is; one that is empty or `-` is nothing."""
    return NO_AGENT if agent in ("", "-") else _look_up(agent[:MAX_AGENT])


@lru_cache(maxsize=_REMEMBERED)
def _look_up(agent: str) -> Agent:
    return Agent(*map(clean, _tell(agent)))


def _tell(agent: str) -> Agent:
    crawler = _crawler(agent)
    os = _os(agent)
    if crawler and "/" not in crawler:
        return Agent(BOT, os, BOT, crawler)
    families = _families()(agent, Domain.USER_AGENT | Domain.DEVICE)
    family = families.user_agent.family if families.user_agent else OTHER
    device = families.device.family if families.device else ""
    if crawler or device == "Spider":
        # a crawler that is known by its address goes by the name that it gives itself, where that is one
        return Agent(BOT, os, BOT, crawler if crawler and (family == OTHER or "/" in family) else family)
    return Agent(family, os, _device(agent, os, device), "")


def _os(agent: str) -> str:
    found = _families()(agent, Domain.OS).os
    return found.family if found else OTHER


_TV = re.compile("tv|smart-?tv|roku|hbbtv|bravia|playstation|xbox|nintendo", re.IGNORECASE)
_DESKTOP = frozenset(
    {"Windows", "Mac OS X", "Mac OS", "Linux", "Ubuntu", "Debian", "Fedora", "Chrome OS", "FreeBSD", "OpenBSD"}
)
_MOBILE = frozenset({"iOS", "Android", "Windows Phone", "KaiOS", "BlackBerry OS", "Symbian OS", "HarmonyOS"})


def _device(agent: str, os: str, device: str) -> str:
    """Give the class of a device. An Android one without `Mobile` in its agent is a tablet, as Google recommends."""
    if _TV.search(f"{os} {device}") or _TV.search(agent):
        return "TV"
    if device == "iPad" or "Tablet" in device or "Kindle" in device:
        return "Tablet"
    if os == "Android" and "Mobile" not in agent:
        return "Tablet"
    if os in _MOBILE or "Mobile" in agent or "Smartphone" in device:
        return "Mobile"
    return "Desktop" if os in _DESKTOP else OTHER


@cache
def _families() -> Resolve:
    return Resolver(load_lazy_builtins())


def _crawler(agent: str) -> str | None:
    """Give the name of a crawler on the list: what its pattern finds in the agent; None for others."""
    found = _crawlers()(agent, Domain.USER_AGENT).user_agent
    return (found.family.strip(_AROUND_NAMES) or OTHER) if found else None


@cache
def _crawlers() -> Resolve:
    # here, not above: the list takes as long to load as all else, and few commands need it
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    return Resolver(([UserAgentMatcher(f"({entry['pattern']})") for entry in CRAWLER_USER_AGENTS_DATA], [], []))
