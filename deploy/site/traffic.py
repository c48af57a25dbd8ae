"""Visits the small site, for ever or so many times: `python traffic.py URL [VISITS A SECOND] [VISITS]`.

Standard library only. Compose starts it with the profile `traffic`.
"""

import random
import sys
import time
import urllib.error
import urllib.request

#: What is asked for, and how often.
PATHS = {"/": 40, "/about.html": 20, "/api/orders": 25, "/api/orders?page=2": 5, "/missing.html": 6, "/api/broken": 4}
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.15.0",
)
SITES = ("", "https://www.example.org/", "https://search.example/?q=kpi")


def visit(url: str) -> None:
    """Ask for one page; whether it is there does not matter."""
    [path] = random.choices(list(PATHS), PATHS.values())
    headers = {"User-Agent": random.choice(AGENTS), "X-Forwarded-For": f"198.51.100.{random.randrange(256)}"}
    if site := random.choice(SITES):
        headers["Referer"] = site
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=10) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr, flush=True)
        time.sleep(1)


def main(url: str, a_second: str = "20", visits: str = "inf") -> None:
    """Visit at random moments, `a_second` times a second on average."""
    left = float(visits)
    while left > 0:
        visit(url.rstrip("/"))
        left -= 1
        time.sleep(random.expovariate(float(a_second)))


if __name__ == "__main__":
    main(*sys.argv[1:])
