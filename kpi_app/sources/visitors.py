"""Visitors: who asks, in generated traffic; people by browser, and bots and crawlers by their real names."""

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, NamedTuple, TypeVar

Drawn = TypeVar("Drawn")


class Visitor(NamedTuple):
    """What the lines of one visitor have in common."""

    address: str  # the peer: a proxy's where `tail` has an X-Forwarded-For
    tail: str  # referrer, agent, X-Forwarded-For, as the line has them at its end


class Pool(NamedTuple, Generic[Drawn]):
    """Things to draw from, some more often than others."""

    items: Sequence[Drawn]
    cumulative: Sequence[float]

    def draw(self, random: Random, count: int) -> list[Drawn]:
        """`count` of them."""
        return random.choices(self.items, cum_weights=self.cumulative, k=count)


BROWSERS = tuple(
    [
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 {rest}"
        for system, rest in (
            ("Windows NT 10.0; Win64; x64", "Safari/537.36"),
            ("Macintosh; Intel Mac OS X 10_15_7", "Safari/537.36"),
            ("X11; Linux x86_64", "Safari/537.36"),
            ("Linux; Android 10; K", "Mobile Safari/537.36"),
            ("Windows NT 10.0; Win64; x64", "Safari/537.36 Edg/131.0.0.0"),
            ("Windows NT 10.0; Win64; x64", "Safari/537.36 OPR/116.0.0.0"),
        )
        for version in (131, 130, 129, 124, 113)
    ]
    + [
        f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        for system in ("Windows NT 10.0; Win64; x64", "X11; Ubuntu; Linux x86_64", "Macintosh; Intel Mac OS X 10.15")
        for version in (133, 132, 128)
    ]
    + [
        f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version} {rest}"
        for system, rest in (
            ("iPhone; CPU iPhone OS 18_1 like Mac OS X", "Mobile/15E148 Safari/604.1"),
            ("iPad; CPU OS 17_7 like Mac OS X", "Mobile/15E148 Safari/604.1"),
            ("Macintosh; Intel Mac OS X 10_15_7", "Safari/605.1.15"),
        )
        for version in ("18.1", "17.6", "16.6")
    ]
    + [
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 "
        "Chrome/125.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko",
    ]
)

_LIKE_GECKO = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; {})"
_CHROME = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; {}) Chrome/131.0.0.0 Safari/537.36"
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.6778.69 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    _CHROME.format("bingbot/2.0; +http://www.bing.com/bingbot.htm"),
    _LIKE_GECKO.format("GPTBot/1.2; +https://openai.com/gptbot"),
    _LIKE_GECKO.format("ClaudeBot/1.0; +claudebot@anthropic.com"),
    _LIKE_GECKO.format("PerplexityBot/1.0; +https://perplexity.ai/perplexitybot"),
    _LIKE_GECKO.format("OAI-SearchBot/1.0; +https://openai.com/searchbot"),
    _LIKE_GECKO.format("ChatGPT-User/1.0; +https://openai.com/bot"),
    _LIKE_GECKO.format("Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot"),
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 "
    "(compatible; Bytespider; spider-feedback@bytedance.com)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 "
    "Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)",
    "Mozilla/5.0 (compatible; DotBot/1.2; +https://opensiteexplorer.org/dotbot; help@moz.com)",
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
)
SCANNER = "Mozilla/5.0 zgrab/0.x"

_REFERRERS = (
    *("https://www.google.com/",) * 6,
    *("https://www.google.com/search?q=running+shoes", "https://www.bing.com/", "https://duckduckgo.com/"),
    *("https://chatgpt.com/", "https://www.perplexity.ai/", "https://t.co/Xy3kd81hfS"),
    *("android-app://com.reddit.frontpage/", "https://www.facebook.com/"),
    *("https://news.ycombinator.com/item?id=36047815", "https://xn--mnchen-3ya.example/"),
)
_OWN_SITE = ("https://shop.example/", "https://shop.example/products/", "https://shop.example/cart")


def people(random: Random, count: int) -> list[Visitor]:
    """`count` browsers of distinct people; six in ten come through a proxy."""
    proxies = [_address(random) for _ in range(40)]
    return [_person(random, proxies) for _ in range(count)]


def bots(random: Random) -> list[Visitor]:
    """Several addresses of each of `BOTS`."""
    return [Visitor(_address(random), f'"-" "{agent}" "-"') for agent in BOTS for _ in range(6)]


def scanners(random: Random) -> list[Visitor]:
    """Few addresses that look for holes."""
    return [Visitor(_address(random), f'"-" "{SCANNER}" "-"') for _ in range(2)]


def mixed(*groups: tuple[float, Sequence[Visitor]]) -> Pool[Visitor]:
    """Visitors of several groups, each with its share of the requests; some ask far more often than others."""
    visitors = [visitor for _, group in groups for visitor in group]
    weights = [weight for share, group in groups for weight in zipf(share, len(group), 0.6)]
    return Pool(visitors, list(accumulate(weights)))


def _person(random: Random, proxies: Sequence[str]) -> Visitor:
    agent, address = random.choice(BROWSERS), _address(random)
    referrer = random.choice(("-", random.choice(_REFERRERS), random.choice(_OWN_SITE)))
    way = random.random()
    if way < 0.4:
        return Visitor(address, f'"{referrer}" "{agent}" "-"')
    proxy = random.choice(proxies)
    forwarded = address if way < 0.9 else f"{address}, {random.choice(proxies)}"
    return Visitor(proxy, f'"{referrer}" "{agent}" "{forwarded}"')


def _address(random: Random) -> str:
    bits = random.getrandbits(64)
    if bits % 12 == 0:
        return f"2001:db8:{bits >> 48:x}:{bits >> 32 & 0xFFFF:x}::{bits >> 16 & 0xFFFF:x}"
    first = 1 + (bits >> 24) % 223
    return f"{first}.{bits >> 16 & 0xFF}.{bits >> 8 & 0xFF}.{bits >> 32 & 0xFF}"


def zipf(share: float, count: int, exponent: float = 1.0) -> list[float]:
    """Weights of ranks 1 to `count`, `rank ** -exponent`, that sum up to `share`."""
    raw = [rank**-exponent for rank in range(1, count + 1)]
    total = sum(raw)
    return [share * weight / total for weight in raw]
