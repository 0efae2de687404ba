"""What all routes have in common: forms of an answer, headers, languages, origins, versions."""

from __future__ import annotations

import datetime as dt
import gzip
import re
import time
from typing import Any

import aiohttp
import brotli
import msgspec
import pytest

from core import tokens
from core.settings import Settings
from gateway import deprecations, origins, routes
from gateway.app import ANONYMOUS_BODY_MAX
from tests import lanes
from tests.gateway.conftest import RING, Client, running
from web import headers, openapi, representations
from web.routing import Route

SHOP = "https://shop.example"
OTHER = "https://other.example"
#: Why an unsafe request may be sent again, when nothing else is said.
NATURAL = {"PUT", "PATCH", "DELETE"}
SECRETS = re.compile(r"^(?:\w+_)?(?:token|secret|codes|uri|download_url)$|^key$")


async def raw(client: Client, path: str, method: str = "GET", **named: str) -> Any:
    """An answer as it comes, not decompressed."""
    merged = {**client.headers, **{name.replace("_", "-"): text for name, text in named.items()}}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(
            method, client.url + path, headers=merged, skip_auto_headers=["Accept-Encoding"]
        ) as response,
    ):
        return response.status, response.headers, await response.read()


@pytest.fixture
async def many(client: Client) -> Client:
    """A program with a hundred members."""
    items = [{"external_id": f"member-{number}"} for number in range(100)]
    assert (await client.post("/v1/members/bulk", {"items": items})).status == 200
    return client


async def test_what_the_client_has_is_not_sent_again(client: Client) -> None:
    await client.post("/v1/members", {"external_id": "a"})
    first = await client.get("/v1/members")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    assert first.headers["Cache-Control"] == representations.REVALIDATE
    status, again, body = await raw(client, "/v1/members", If_None_Match=tag)
    assert (status, body) == (304, b"")
    assert again["ETag"] == tag
    assert again["Cache-Control"] == representations.REVALIDATE
    assert "Request-Id" in again
    assert {"Content-Type", "Content-Encoding"}.isdisjoint(again)
    await client.post("/v1/members", {"external_id": "b"})
    changed = await client.get("/v1/members", If_None_Match=tag)
    assert changed.status == 200
    assert changed.headers["ETag"] != tag


async def test_a_tag_helps_nobody_who_may_not_read(client: Client, other: Client) -> None:
    made = await client.post("/v1/members", {})
    path = f"/v1/members/{made.body['id']}"
    tag = (await client.get(path)).headers["ETag"]
    assert (await other.get(path, If_None_Match=tag)).status == 404
    assert (await client.get(path, Authorization=None, If_None_Match=tag)).status == 401
    assert (await client.get(path, Authorization=None, If_None_Match="*")).status == 401


async def test_unsafe_answers_and_refusals_have_no_tag_and_are_kept_by_nobody(
    client: Client,
) -> None:
    made = await client.post("/v1/members", {}, If_None_Match="*")
    missing = await client.get("/v1/members/mem_none", If_None_Match="*")
    assert (made.status, missing.status) == (201, 404)
    for answer in (made, missing):
        assert "ETag" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("coding", "opened"), [("gzip", gzip.decompress), ("br", brotli.decompress)]
)
async def test_large_answers_are_compressed_for_who_asks(
    many: Client, coding: str, opened: Any
) -> None:
    plain_status, plain, body = await raw(many, "/v1/members?limit=100")
    status, packed, small = await raw(many, "/v1/members?limit=100", Accept_Encoding=coding)
    assert (status, plain_status) == (200, 200)
    assert packed["Content-Encoding"] == coding
    assert "Content-Encoding" not in plain
    assert opened(small) == body
    assert len(small) < len(body) / 4
    assert int(packed["Content-Length"]) == len(small)
    # One content has one tag, in whichever coding it is sent, and caches keep them apart.
    assert packed["ETag"] == plain["ETag"]
    assert "Accept-Encoding" in packed["Vary"]
    assert "Accept-Encoding" in plain["Vary"]
    status, again, _ = await raw(
        many, "/v1/members?limit=100", Accept_Encoding=coding, If_None_Match=packed["ETag"]
    )
    assert (status, "Content-Encoding" in again) == (304, False)


async def test_what_takes_long_is_compressed_off_the_loop(many: Client) -> None:
    path = "/openapi.json"
    _, packed, small = await raw(many, path, Accept_Encoding="br")
    assert packed["Content-Encoding"] == "br"
    assert brotli.decompress(small) == routes.document()
    assert len(routes.document()) > representations.OFF_LOOP_MIN


async def test_what_holds_a_secret_is_never_compressed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its length would tell what else is in it to whoever may write into it (BREACH)."""
    monkeypatch.setattr(representations, "COMPRESSED_MIN", 1)
    for coding in ("gzip", "br", "gzip, br", "*"):
        body = {"name": "till", "scopes": ["links:read"]}
        made = await client.post("/v1/api-keys", body, Accept_Encoding=coding)
        listed = await client.get("/v1/api-keys", Accept_Encoding=coding)
        assert made.body["key"]
        assert ["Content-Encoding" in one.headers for one in (made, listed)] == [False, True]
        assert "ETag" not in made.headers


async def test_small_answers_are_sent_as_they_are(client: Client) -> None:
    _, named, body = await raw(client, "/version", Accept_Encoding="gzip, br")
    assert "Content-Encoding" not in named
    assert b"version" in body


async def test_head_says_what_get_would(many: Client) -> None:
    varying = {"Date", "Request-Id"}
    tag = (await raw(many, "/v1/members?limit=100"))[1]["ETag"]
    for extra in ({}, {"Accept_Encoding": "gzip"}, {"If_None_Match": tag}):
        status, asked, body = await raw(many, "/v1/members?limit=100", "HEAD", **extra)
        wanted, got, _ = await raw(many, "/v1/members?limit=100", **extra)
        assert (status, body) == (wanted, b"")
        assert {name: text for name, text in asked.items() if name not in varying} == {
            name: text for name, text in got.items() if name not in varying
        }


async def test_every_answer_is_data_that_nothing_runs_or_frames(client: Client) -> None:
    answers = [
        await client.get("/v1/members"),
        await client.post("/v1/members", {}),
        await client.post("/v1/members", b"{"),
        await client.get("/v1/nothing"),
        await client.get("/v1/members", Authorization=None),
        await client.call("BREW", "/v1/members"),
        await client.get("/health/live"),
    ]
    for answer in answers:
        named = {name: answer.headers.get(name) for name in headers.SECURITY}
        assert named == headers.SECURITY
        assert "Set-Cookie" not in answer.headers


@lanes.BOTH_LANES
async def test_awards_carry_the_headers_in_both_lanes(client: Client) -> None:
    member = (await client.post("/v1/members", {})).body["id"]
    body = {"member": member, "kind": "points", "amount": 1}
    made = await client.post("/v1/awards", body, Idempotency_Key="a")
    refused = await client.post("/v1/awards", {**body, "amount": 0}, Idempotency_Key="b")
    assert (made.status, refused.status) == (201, 422)
    for answer in (made, refused):
        wanted = {**headers.SECURITY, "Cache-Control": "no-store"}
        assert {name: answer.headers.get(name) for name in wanted} == wanted


async def test_refusals_speak_the_language_of_the_caller(client: Client) -> None:
    german = await client.get("/v1/members/mem_none", Accept_Language="de-AT, en;q=0.5")
    assert german.body["detail"] == "Dieses Mitglied gibt es in diesem Programm nicht."
    assert german.code == "member_not_found"
    assert german.headers["Content-Language"] == "de"
    english = await client.get("/v1/members/mem_none", Accept_Language="tlh")
    assert english.body["detail"] == "There is no such member in this program."
    assert english.headers["Content-Language"] == "en"


@lanes.BOTH_LANES
async def test_awards_are_refused_in_the_callers_language_in_both_lanes(client: Client) -> None:
    body = {"member": "mem_none", "kind": "points", "amount": 1}
    refused = await client.post("/v1/awards", body, Idempotency_Key="a", Accept_Language="fr")
    assert refused.body["detail"] == "Ce membre n'existe pas dans ce programme."
    assert refused.headers["Content-Language"] == "fr"


async def allow(client: Client, *allowed: str) -> str:
    """Let pages of these origins call for the client's program; the program's id."""
    program = program_of(client)
    answer = await client.patch(
        f"/v1/programs/{program}", {"settings": {"cors_origins": list(allowed)}}
    )
    assert answer.status == 200, answer.body
    return program


def program_of(client: Client) -> str:
    """The program of the client's token."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    return str(tokens.verify(RING, token, int(time.time())).program_id)


async def preflight(client: Client, path: str, origin: str, method: str = "POST") -> Any:
    return await client.call(
        "OPTIONS",
        path,
        Authorization=None,
        Origin=origin,
        Access_Control_Request_Method=method,
        Access_Control_Request_Headers="authorization,content-type",
    )


async def test_a_page_of_an_allowed_origin_may_call(client: Client) -> None:
    await allow(client, SHOP)
    asked = await preflight(client, "/v1/members", SHOP)
    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Origin"] == SHOP
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    assert asked.headers["Access-Control-Max-Age"] == str(origins.MAX_AGE_S)
    assert "Origin" in asked.headers["Vary"]
    for answer in (
        await client.post("/v1/members", {}, Origin=SHOP),
        await client.get("/v1/members", Origin=SHOP),
        await client.get("/v1/members/mem_none", Origin=SHOP),
        await client.get("/v1/members", Origin=SHOP, Authorization="Bearer x"),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "RateLimit" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]


async def test_a_page_of_any_other_origin_may_not(client: Client, other: Client) -> None:
    await allow(client, SHOP)
    await allow(other, OTHER)
    for origin in ("https://evil.example", "null", SHOP + ".evil", SHOP.upper()):
        refused = await preflight(client, "/v1/members", origin)
        assert (refused.status, refused.code) == (403, "origin_not_allowed")
        assert "Access-Control-Allow-Origin" not in refused.headers
        read = await client.get("/v1/members", Origin=origin)
        assert "Access-Control-Allow-Origin" not in read.headers
        assert "Origin" in read.headers["Vary"]
    # Another program's page passes the preflight, which knows no program, and reads nothing.
    assert (await preflight(client, "/v1/members", OTHER)).status == 204
    assert (
        "Access-Control-Allow-Origin" not in (await client.get("/v1/members", Origin=OTHER)).headers
    )


async def test_cookies_are_never_allowed_nor_everybody(client: Client) -> None:
    program = program_of(client)
    for origin in ("*", "null", "https://*.example", "https://shop.example/", "ftp://shop.example"):
        refused = await client.patch(
            f"/v1/programs/{program}", {"settings": {"cors_origins": [origin]}}
        )
        assert refused.status == 422
    await allow(client, SHOP)
    answers = [
        await preflight(client, "/v1/members", SHOP),
        await client.get("/v1/members", Origin=SHOP),
    ]
    for answer in answers:
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.headers["Access-Control-Allow-Origin"] != "*"


async def test_a_preflight_of_nothing_finds_nothing(client: Client) -> None:
    await allow(client, SHOP)
    assert (await preflight(client, "/v1/nothing", SHOP)).status == 404
    # Without an origin it is no preflight.
    assert (await client.call("OPTIONS", "/v1/members")).status == 405


@lanes.BOTH_LANES
async def test_an_award_from_a_page_is_marked_in_both_lanes(client: Client) -> None:
    await allow(client, SHOP)
    member = (await client.post("/v1/members", {})).body["id"]
    body = {"member": member, "kind": "points", "amount": 1}
    made = await client.post("/v1/awards", body, Idempotency_Key="a", Origin=SHOP)
    assert (made.status, made.headers["Access-Control-Allow-Origin"]) == (201, SHOP)


def test_a_route_that_ends_says_when() -> None:
    route = Route(
        method="GET",
        path="/v1/old",
        handler=routes.read_openapi,
        name="old",
        deprecated_on=dt.date(2026, 1, 1),
        sunset_on=dt.date(2027, 1, 1),
    )
    assert deprecations.headers(route) == {
        "Deprecation": "@1767225600",
        "Sunset": "Fri, 01 Jan 2027 00:00:00 GMT",
    }
    assert deprecations.headers(msgspec.structs.replace(route, deprecated_on=None)) == {}


async def test_a_route_whose_end_has_come_is_gone(
    settings: Settings, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    (version,) = (one for one in routes.ROUTES if one.name == "version")
    ending = msgspec.structs.replace(version, deprecated_on=dt.date(2020, 1, 1))
    over = msgspec.structs.replace(ending, sunset_on=dt.date(2020, 7, 1))
    soon = msgspec.structs.replace(ending, sunset_on=dt.date(9999, 7, 1), path="/soon", name="soon")
    monkeypatch.setattr(routes, "ROUTES", (over, soon))
    async with running(settings) as (_, url):
        gone, works = [await Client(session, url, {}).get(path) for path in ("/version", "/soon")]
    assert (gone.status, gone.code) == (410, "gone")
    assert gone.headers["Sunset"] == "Wed, 01 Jul 2020 00:00:00 GMT"
    assert works.status == 200
    assert "410" in openapi.document([over], "", "")["paths"]["/version"]["get"]["responses"]


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: route.name)
def test_every_unsafe_route_can_be_repeated_safely(route: Route) -> None:
    """With a key, by its method, or for a reason that the table tells."""
    if route.method == "GET":
        assert not route.is_idempotent
        assert not route.repeats
        return
    ways = [route.is_idempotent, route.method in NATURAL, bool(route.repeats)]
    assert any(ways), "a key, a method that can be repeated, or `repeats`: one of them"
    assert not (route.is_idempotent and route.repeats)


async def test_who_has_no_credential_may_say_little(client: Client) -> None:
    large = b'{"a":"' + b"x" * ANONYMOUS_BODY_MAX + b'"}'
    for route in routes.ROUTES:
        if route.scope is None and route.body is not None and route.body_limit is None:
            answer = await client.call(route.method, route.path, large, Authorization=None)
            assert (answer.status, answer.code) == (413, "body_too_large"), route.name
    assert (await client.post("/v1/members", large)).status == 422


def fields_of(kind: Any) -> set[str]:
    """All names in the JSON of a type, at any depth."""
    if kind is None:
        return set()
    _, components = msgspec.json.schema_components([kind], ref_template="{name}")
    return {name for shape in components.values() for name in shape.get("properties", {})}


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: route.name)
def test_every_route_that_answers_a_secret_says_so(route: Route) -> None:
    names = fields_of(route.reply)
    # An entry of the audit log names the key that proves it, and the proof.
    told = {name for name in names if SECRETS.search(name)} - (
        {"key"} if "proof" in names else set()
    )
    assert route.is_secret or not told, told


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: route.name)
def test_a_route_that_ends_has_been_deprecated_for_half_a_year(route: Route) -> None:
    if route.sunset_on is None:
        return
    assert route.deprecated_on is not None
    assert route.sunset_on - route.deprecated_on >= dt.timedelta(days=180)
