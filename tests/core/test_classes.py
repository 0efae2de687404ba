"""Classes: real user agents, and what the other headers add."""

from __future__ import annotations

import pytest

from core import classes

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
IMESSAGE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) "
    "Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0"
)
GOOGLEBOT = (
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like "
    "Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; "
    "+http://www.google.com/bot.html)"
)
HEADLESS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "HeadlessChrome/126.0.0.0 Safari/537.36"
)
CUBOT = (
    "Mozilla/5.0 (Linux; Android 11; CUBOT X50) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Mobile Safari/537.36"
)
INSTAGRAM = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Mobile/21F79 Instagram 335.0.0.20.93 (iPhone14,5; iOS 17_5; en_IN)"
)
PINTEREST_APP = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Mobile/15E148 [Pinterest/iOS]"
)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (CHROME, "human"),
        (CUBOT, "human"),
        (INSTAGRAM, "human"),
        (PINTEREST_APP, "human"),
        ("Opera/9.80 (Android; Opera Mini/36.2/191.326; U; en) Presto/2.12.423", "human"),
        (GOOGLEBOT, "bot"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bot"),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "bot"),
        ("Mozilla/5.0 (compatible; Baiduspider/2.0)", "bot"),
        ("Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help)", "bot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (compatible; GPTBot/1.2; +https://openai.com)", "bot"),
        ("CCBot/2.0 (https://commoncrawl.org/faq/)", "bot"),
        ("ia_archiver (+http://www.alexa.com/site/help/webmasters)", "bot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "preview"),
        ("Slack-ImgProxy (+https://api.slack.com/robots)", "preview"),
        (
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "preview",
        ),
        ("WhatsApp/2.24.11.79 A", "preview"),
        ("WhatsApp/2.2413.0 W", "preview"),
        ("Twitterbot/1.0", "preview"),
        ("TelegramBot (like TwitterBot)", "preview"),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "preview"),
        ("LinkedInBot/1.0 (compatible; Mozilla/5.0; +http://www.linkedin.com)", "preview"),
        (IMESSAGE, "preview"),
        ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", "preview"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "monitor"),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "monitor"),
        ("kube-probe/1.30", "monitor"),
        ("ELB-HealthChecker/2.0", "monitor"),
        ("Better Uptime Bot Mozilla/5.0 (Macintosh) Chrome/126.0.0.0", "monitor"),
        ("curl/8.5.0", "suspect"),
        ("Wget/1.21.4", "suspect"),
        ("python-requests/2.32.3", "suspect"),
        ("Python/3.11 aiohttp/3.9.5", "suspect"),
        ("Go-http-client/2.0", "suspect"),
        ("okhttp/4.12.0", "suspect"),
        ("Java/17.0.11", "suspect"),
        (HEADLESS, "suspect"),
        ("SomethingElse/1.0", "suspect"),
        ("", "suspect"),
        ("   ", "suspect"),
    ],
)
def test_user_agent_has_class(user_agent: str, name: classes.ClassName) -> None:
    hit_class, reasons = classes.classify(user_agent)
    assert classes.NAMES[hit_class] == name
    assert bool(reasons) == (name != "human")


def test_a_browser_without_its_usual_headers_is_suspect_for_each() -> None:
    assert classes.classify(
        CHROME, has_accept=False, has_language=False, fetch_destination="image"
    ) == (classes.SUSPECT, ("no_accept", "no_accept_language", "not_a_navigation"))


def test_missing_headers_do_not_hide_a_declared_crawler() -> None:
    assert classes.classify(GOOGLEBOT, has_language=False)[0] == classes.BOT


def test_a_navigation_is_human() -> None:
    assert classes.classify(CHROME, fetch_destination="document") == (classes.HUMAN, ())


@pytest.mark.parametrize(
    "purpose", ["prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip", "Preview"]
)
def test_prefetch_is_recognized(purpose: str) -> None:
    assert classes.prefetch_requested("", purpose)
    assert classes.classify(CHROME, purpose=purpose)[0] == classes.PREFETCH


def test_other_purposes_are_no_prefetch() -> None:
    assert not classes.prefetch_requested("", "navigate", "prefetched")


def test_reasons_are_words_not_what_the_visitor_sent() -> None:
    assert classes.classify("curl/8.5.0 \x00" + "x" * 10_000) == (
        classes.SUSPECT,
        ("http_library",),
    )
