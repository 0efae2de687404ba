"""`GET /r/{slug}`: statuses, headers, and what is recorded of whom."""

from __future__ import annotations

import asyncio
import time

import pytest

from core import classes, clickid, testclicks
from core.keyring import KeyRing
from db.redis import Connection
from tests.lanes import BOTH_LANES
from tests.redirector.conftest import (
    PROGRAM,
    Publish,
    Redirector,
    Start,
    eventually,
    live,
    recorded,
)

pytestmark = BOTH_LANES


async def test_click_is_recorded_and_the_destination_carries_its_id(
    redirector: Redirector, publish: Publish, connection: Connection, ring: KeyRing
) -> None:
    link_id = await publish("demo")
    answer = await redirector.get("/r/demo", {"Referer": "https://blog.example/a"})
    assert answer.status == 302
    prefix, click_id = answer.headers["Location"].split("subid=")
    assert prefix == "https://shop.example/p?"
    clickid.verify(click_id, PROGRAM, ring.click)
    (click,) = await recorded(connection)
    assert (click.click_id, click.link_id, click.program_id) == (click_id, link_id, PROGRAM)
    assert (click.hit_class, click.reasons) == (classes.HUMAN, ())
    assert (click.address, click.referrer) == ("127.0.0.0", "https://blog.example/a")
    assert await live(connection, link_id) == {classes.HUMAN: 1}


async def test_redirect_has_exactly_the_headers_of_the_design(
    redirector: Redirector, publish: Publish
) -> None:
    await publish("demo", referrer_policy="origin")
    headers = dict((await redirector.get("/r/demo")).headers)
    assert headers.pop("Location").startswith("https://shop.example/")
    assert headers.pop("Date")
    assert headers == {
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "origin",
        "X-Robots-Tag": "noindex",
        "Content-Length": "0",
    }


async def test_a_hundred_clicks_on_one_connection_get_a_hundred_ids_in_order(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    answers = [await redirector.get("/r/demo") for _ in range(100)]
    found = [answer.headers["Location"].split("subid=")[1] for answer in answers]
    assert [click.click_id for click in await recorded(connection)] == found
    assert [clickid.decode(one).sequence for one in found] == list(range(1, 101))


CASES: list[tuple[str, dict[str, str], int, str]] = [
    ("/r/nobody", {}, 404, "link_not_found"),
    ("/r/", {}, 404, "link_not_found"),
    ("/r/%00", {}, 404, "link_not_found"),
    ("/r/d%C3%A9mo", {}, 404, "link_not_found"),
    ("/r/" + "a" * 65, {}, 404, "link_not_found"),
    ("/r/static/more", {}, 404, "link_not_found"),
    ("/r/expired", {}, 410, "gone"),
    ("/r/early", {}, 404, "link_not_found"),
    ("/r/paused", {}, 410, "gone"),
    ("/nothing", {}, 404, "not_found"),
    ("/c/nonsense", {}, 404, "click_not_found"),
    ("/c/" + "0" * 32, {}, 404, "click_not_found"),
]
LEADS = [
    ("/r/static", {}, "https://shop.example/fixed"),
    ("/r/%73tatic", {}, "https://shop.example/fixed"),
    ("/r/static?a=1", {}, "https://shop.example/fixed"),
    ("/r/closed", {}, "https://later.example/"),
    ("/r/macros?sub1=a%20b", {}, "https://shop.example/?s=a%20b&d="),
    ("/r/macros?sub1=%E2%82%AC", {}, "https://shop.example/?s=%E2%82%AC&d="),
    ("/r/macros?sub1=%0d%0aSet-Cookie:x", {}, "https://shop.example/?s=%0D%0ASet-Cookie%3Ax&d="),
    ("/r/macros?sub1=%ff", {}, "https://shop.example/?s=%EF%BF%BD&d="),
    ("/r/forward?x=1&_r.t=qr&_t=no", {}, "https://shop.example/?a=1&x=1"),
    ("/r/deep/a/../b", {}, "https://shop.example/base/a/b?k=v"),
    ("/r/deep/%2e%2e/%0d%0ab", {}, "https://shop.example/base/%0D%0Ab?k=v"),
    ("/r/device", {"User-Agent": "Mozilla/5.0 (iPhone) Mobile/1"}, "https://m.example/"),
    ("/r/device", {}, "https://shop.example/"),
    ("/r/language", {"Accept-Language": "de-AT,en;q=0.5"}, "https://de.example/"),
    ("/r/ads?gclid=g1", {}, "https://shop.example/?g=g1"),
    ("/r/ads?gclid=g1", {"Sec-GPC": "1"}, "https://shop.example/?g="),
]


@pytest.fixture
async def links(publish: Publish) -> None:
    await publish("static", destination="https://shop.example/fixed")
    await publish("expired", expires_at="2020-01-01T00:00:00Z")
    await publish("early", starts_at="2999-01-01T00:00:00Z")
    await publish("paused", state="paused")
    await publish("closed", state="paused", fallback_url="https://later.example/")
    await publish("macros", destination="https://shop.example/?s={sub1}&d={nonsense}")
    await publish("forward", destination="https://shop.example/?a=1", query_mode="append")
    await publish("deep", destination="https://shop.example/base?k=v", append_path=True)
    await publish("ads", destination="https://shop.example/?g={gclid}")
    rule = {"when": {"device": ["mobile"]}, "destination": "https://m.example/"}
    await publish("device", destination="https://shop.example/", rules=[rule])
    rule = {"when": {"lang": ["de"]}, "destination": "https://de.example/"}
    await publish("language", destination="https://shop.example/", rules=[rule])


@pytest.mark.usefixtures("links")
async def test_refusals_are_problems_and_record_nothing(
    redirector: Redirector, connection: Connection
) -> None:
    for path, headers, status, code in CASES:
        answer = await redirector.get(path, headers)
        assert (answer.status, (await answer.json())["code"]) == (status, code), path
        assert answer.content_type == "application/problem+json"
    assert await recorded(connection) == []


@pytest.mark.usefixtures("links")
async def test_links_lead_where_their_configuration_says(redirector: Redirector) -> None:
    for path, headers, location in LEADS:
        answer = await redirector.get(path, headers)
        assert (answer.status, answer.headers["Location"]) == (302, location), path


@pytest.mark.usefixtures("links")
async def test_head_has_the_same_status_no_click_id_and_is_never_counted(
    redirector: Redirector, connection: Connection, publish: Publish
) -> None:
    await publish("demo")
    await publish("capped", cap=1)
    for path in ("/r/demo", "/r/capped", "/r/capped"):
        answer = await redirector.get(path, method="HEAD")
        assert answer.status == 302
        assert answer.headers["Location"] == "https://shop.example/p?subid="
    for path, headers, status, _ in CASES:
        assert (await redirector.get(path, headers, method="HEAD")).status == status, path
    assert await recorded(connection) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
    ],
)
async def test_prefetch_is_refused_so_that_the_visit_asks_again(
    redirector: Redirector, publish: Publish, connection: Connection, headers: dict[str, str]
) -> None:
    await publish("capped", cap=1)
    answer = await redirector.get("/r/capped", headers)
    assert (answer.status, answer.headers["Cache-Control"]) == (503, "no-store")
    assert await recorded(connection) == []
    assert (await redirector.get("/r/capped")).status == 302


async def test_privacy_signal_leaves_out_address_country_and_ad_ids(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    for headers in ({"Sec-GPC": "1"}, {"DNT": "1"}):
        await redirector.get("/r/demo?gclid=g&sub1=s&_r.t=qr", headers)
    for click in await recorded(connection):
        assert click.privacy_signal
        assert (click.address, click.country) == (None, None)
        assert click.parameters == {"sub1": "s", "_r.t": "qr"}


async def test_parameters_are_recorded_within_bounds(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    query = "?sub1=1&sub10=10&external_id=e&gclid=g&utm_source=u&other=x&sub2=" + "y" * 1000
    await redirector.get("/r/demo" + query)
    (click,) = await recorded(connection)
    assert click.parameters == {
        "sub1": "1",
        "sub10": "10",
        "external_id": "e",
        "gclid": "g",
        "utm_source": "u",
        "sub2": "y" * 255,
    }


async def test_hits_are_recorded_with_their_class(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    link_id = await publish("demo")
    for agent in ("curl/8", "Googlebot/2.1 (+http://www.google.com/bot.html)", "Slackbot 1", ""):
        assert (await redirector.get("/r/demo", {"User-Agent": agent})).status == 302
    assert [click.hit_class for click in await recorded(connection)] == [
        *(classes.SUSPECT, classes.BOT, classes.PREVIEW, classes.SUSPECT),
    ]
    counts = await live(connection, link_id)
    assert counts == {classes.SUSPECT: 2, classes.BOT: 1, classes.PREVIEW: 1}


async def test_signed_test_click_redirects_and_is_recorded_as_a_test(
    redirector: Redirector, publish: Publish, connection: Connection, ring: KeyRing
) -> None:
    await publish("demo")
    later = int(time.time()) + 60
    good = testclicks.sign("demo", later, ring.active_click, ring.click[ring.active_click])
    late = testclicks.sign("demo", 1, ring.active_click, ring.click[ring.active_click])
    for text in (good, late, "0.zz.1", "nonsense"):
        assert (await redirector.get(f"/r/demo?_t={text}")).status == 302
    assert [click.hit_class for click in await recorded(connection)] == [
        *(classes.TEST, classes.HUMAN, classes.HUMAN, classes.HUMAN),
    ]


async def test_forwarded_headers_are_believed_from_trusted_proxies_only(
    start: Start, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    headers = {"X-Forwarded-For": "1.1.1.1, 203.0.113.77, 127.0.0.9", "CF-IPCountry": "in"}
    wary = await start(country_header="CF-IPCountry")
    await wary.get("/r/demo", headers)
    trusting = await start(country_header="CF-IPCountry", trusted_proxies="127.0.0.0/8")
    await trusting.get("/r/demo", headers)
    await trusting.get("/r/demo", {"X-Forwarded-For": "2001:db8:1:2::3"})
    for strange in (
        "unknown",
        ", ,",
        "1.2.3.4:80",
        "fe80::1%eth0",
        "::ffff:198.51.100.7",
        "x" * 999,
    ):
        assert (await trusting.get("/r/demo", {"X-Forwarded-For": strange})).status == 302
    found = {(click.address, click.country) for click in await recorded(connection)}
    assert found == {
        *(("127.0.0.0", None), ("203.0.113.0", "IN"), ("2001:db8:1::", None)),
        *(("1.2.3.0", None), ("fe80::", None), ("198.51.100.0", None)),
    }


async def test_headers_that_are_not_utf8_do_not_lose_the_click(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    host, port = redirector.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /r/demo HTTP/1.0\r\nHost: x\r\nUser-Agent: Mozilla/5.0 \xff\xe9\r\n"
        b"Referer: http://\xff/\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    (click,) = await recorded(connection)
    assert click.user_agent == "Mozilla/5.0 ��"


async def test_variants_stick_to_a_visitor_without_a_cookie(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish(
        "split",
        variants=[
            {"name": "a", "weight": 1, "destination": "https://a.example/"},
            {"name": "b", "weight": 1, "destination": "https://b.example/"},
        ],
    )
    for number in range(20):
        agent = {"User-Agent": f"Mozilla/5.0 ({number})"}
        answers = [await redirector.get("/r/split", agent) for _ in range(2)]
        assert len({answer.headers["Location"] for answer in answers}) == 1
        assert not any("Set-Cookie" in answer.headers for answer in answers)
    assert {click.variant for click in await recorded(connection)} == {"a", "b"}


async def test_method_that_a_path_does_not_take_is_405_with_allow(
    redirector: Redirector,
) -> None:
    for method, path in (("POST", "/r/demo"), ("DELETE", "/c/x"), ("POST", "/robots.txt")):
        answer = await redirector.get(path, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_fixed_documents_and_health(redirector: Redirector) -> None:
    assert (await redirector.get("/robots.txt")).content_type == "text/plain"
    assert (await (await redirector.get("/.well-known/gpc.json")).json())["gpc"] is True
    assert (await redirector.get("/health/live")).status == 200
    await eventually(lambda: _is_ready(redirector))


async def _is_ready(redirector: Redirector) -> bool:
    return (await redirector.get("/health/ready")).status == 200
