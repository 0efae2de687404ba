"""What kind of visitor sent a request, from its headers alone.

Every hit is stored with its class and the reasons; only humans count and pay. The redirector sees
headers only, so a class says what a visitor claims to be; it can be revised later from elsewhere.
"""

from __future__ import annotations

import functools
import re
from typing import Final, Literal, get_args

ClassName = Literal["human", "suspect", "bot", "preview", "prefetch", "monitor", "test"]
NAMES: Final[tuple[ClassName, ...]] = get_args(ClassName)
HUMAN, SUSPECT, BOT, PREVIEW, PREFETCH, MONITOR, TEST = range(len(NAMES))

Reasons = tuple[str, ...]

# What is looked at and remembered of a user agent: it is the visitor's text, so it has a bound.
_LENGTH_MAX = 512

_MONITORS = (
    r"uptimerobot|uptime-?kuma|better ?(?:uptime|stack)|pingdom|statuscake|site24x7|hetrixtools"
    r"|datadog/?synthetics|datadogsynthetics|newrelicpinger|checkly|updown\.io|freshping|nodeping"
    r"|kube-probe|elb-healthchecker|googlehc/|googlestackdrivermonitoring|blackbox.exporter"
    r"|prometheus/|amazon-route53-health-check|monit/|nagios|check_http|zabbix|gatus"
)
_PREVIEWS = (
    r"slackbot|slack-imgproxy|facebookexternalhit|facebookcatalog|facebot|meta-externalfetcher"
    r"|whatsapp/|twitterbot|telegrambot|discordbot|linkedinbot|skypeuripreview|microsoftpreview"
    r"|bingpreview|google-pagerenderer|googleimageproxy|google-read-aloud|snap url preview"
    r"|redditbot|pinterestbot|pinterest/0|embedly|iframely|vkshare|viber/|mastodon/|cardyb"
    r"|synapse \(bot|flipboardproxy|tumblr/|quora link preview|zalo/bot|kakaotalk-scrap"
)
_HEADLESS = r"headlesschrome|phantomjs|puppeteer|playwright|selenium|electron/|jsdom|splash"
_LIBRARIES = (
    r"^(?:curl|wget|python|aiohttp|httpx|go-http-client|java/|okhttp|apache-httpclient|axios"
    r"|node|undici|got |ruby|faraday|perl|libwww|lwp|guzzle|php|dart|dalvik|cfnetwork|rest-?client"
    r"|postmanruntime|insomnia|httpie|scrapy|colly|reqwest|hyper|winhttp|powershell|locust)"
    r"|python-requests|python-urllib|aiohttp/|scrapy/"
)
# Cubot is a maker of phones.
_CRAWLERS = r"(?<!cu)bot(?![a-z])|crawl|spider|slurp|archiver|scraper|lighthouse|\+https?://"

# The leftmost match wins, and at one place the first alternative: names before general words.
DECLARED = re.compile(
    f"(?P<monitor>{_MONITORS})|(?P<preview>{_PREVIEWS})|(?P<headless>{_HEADLESS})"
    f"|(?P<library>{_LIBRARIES})|(?P<crawler>{_CRAWLERS})"
)
_VERDICTS: dict[str | None, tuple[int, Reasons]] = {
    "monitor": (MONITOR, ("uptime_monitor",)),
    "preview": (PREVIEW, ("preview_fetcher",)),
    "headless": (SUSPECT, ("headless_browser",)),
    "library": (SUSPECT, ("http_library",)),
    "crawler": (BOT, ("declared_crawler",)),
}
_PURPOSE = re.compile(r"\b(?:prefetch|prerender|preview)\b", re.IGNORECASE)


def classify(
    user_agent: str,
    *,
    has_accept: bool = True,
    has_language: bool = True,
    fetch_destination: str = "",
    purpose: str = "",
) -> tuple[int, Reasons]:
    """The class of a request and why; a human needs no reason.

    `has_accept` and `has_language` say whether Accept and Accept-Language were sent,
    `fetch_destination` is Sec-Fetch-Dest, `purpose` any of the headers of `prefetch_requested`.
    """
    if prefetch_requested(purpose):
        return PREFETCH, ("prefetch_header",)
    verdict = _by_user_agent(user_agent[:_LENGTH_MAX].lower())
    if verdict[0] not in {HUMAN, SUSPECT}:
        return verdict
    reasons = verdict[1]
    if not has_accept:
        reasons += ("no_accept",)
    if not has_language:
        reasons += ("no_accept_language",)
    # An image or a frame that loads a link is how clicks are made up without a visitor.
    if fetch_destination not in {"", "document"}:
        reasons += ("not_a_navigation",)
    return (SUSPECT, reasons) if reasons else verdict


def prefetch_requested(*purposes: str) -> bool:
    """Whether Sec-Purpose, Purpose, X-Moz or X-Purpose ask for a page that nobody may ever see."""
    return any(purpose and _PURPOSE.search(purpose) for purpose in purposes)


@functools.lru_cache(maxsize=8192)
def _by_user_agent(text: str) -> tuple[int, Reasons]:
    if not text.strip():
        return SUSPECT, ("no_user_agent",)
    declared = DECLARED.search(text)
    if declared is not None:
        return _VERDICTS[declared.lastgroup]
    if not text.startswith(("mozilla/", "opera/")):
        return SUSPECT, ("not_a_browser",)
    return HUMAN, ()
