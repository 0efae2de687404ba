"""Bad inputs: each has its status and its code, and changes nothing."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from urllib.parse import urlsplit

import jwt
import msgspec
import pytest

from core import keyring, tokens
from tests.gateway.conftest import RING, Client, Db, bearer, counts, token

SHOP = b"https://shop.example.com/"
DEEP = b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/members", b"", 400, "invalid_json"),
        ("/v1/members", b"{", 400, "invalid_json"),
        ("/v1/members", b'{"name":"A",}', 400, "invalid_json"),
        ("/v1/members", b"{'name':'A'}", 400, "invalid_json"),
        ("/v1/members", b'{"attributes":{"a":NaN}}', 400, "invalid_json"),
        ("/v1/members", b'{"name":"A"} {}', 400, "invalid_json"),
        ("/v1/members", b'{"name":"\xff"}', 400, "invalid_json"),
        ("/v1/members", b'{"name":"\\ud800"}', 400, "invalid_json"),
        ("/v1/members", b'{"name":"A","name":"B"}', 400, "invalid_json"),
        ("/v1/members", b'{"attributes":{"a":1,"\\u0061":2}}', 400, "invalid_json"),
        ("/v1/members", DEEP, 400, "invalid_json"),
        (
            "/v1/members",
            b'{"attributes":{"a":' + b"[" * 2000 + b"]" * 2000 + b"}}",
            400,
            "invalid_json",
        ),
        ("/v1/members", b"[]", 422, "invalid_request"),
        ("/v1/members", b"null", 422, "invalid_request"),
        ("/v1/members", b'"A"', 422, "invalid_request"),
        ("/v1/members", b'{"name":1}', 422, "invalid_request"),
        ("/v1/members", b'{"name":"a\\u0000b"}', 422, "invalid_request"),
        ("/v1/members", b'{"attributes":{"a":"\\u0000"}}', 422, "invalid_request"),
        ("/v1/members", b'{"attributes":{"\\u0000":"a"}}', 422, "invalid_request"),
        ("/v1/members", b'{"attributes":{"a":1180591620717411303424}}', 422, "invalid_request"),
        ("/v1/members", b'{"attributes":{"a":{"b":1}}}', 422, "invalid_request"),
        ("/v1/members", b'{"external_id":"a b"}', 422, "invalid_request"),
        ("/v1/members", b'{"program_id":"prg_x"}', 422, "invalid_request"),
        ("/v1/members/bulk", b'{"items":[]}', 422, "invalid_request"),
        ("/v1/members/bulk", b'{"items":{}}', 422, "invalid_request"),
        ("/v1/links", b'{"destination":"javascript:alert(1)"}', 422, "invalid_destination"),
        ("/v1/links", b'{"destination":"data:text/html,x"}', 422, "invalid_destination"),
        ("/v1/links", b'{"destination":"' + SHOP + b'\\r\\nA: b"}', 422, "invalid_destination"),
        ("/v1/links", b'{"destination":"' + SHOP * 100 + b'"}', 422, "invalid_request"),
        ("/v1/links", b'{"destination":"' + SHOP + b'","slug":"\xc3\xa9"}', 422, "invalid_request"),
        ("/v1/links", b'{"destination":"' + SHOP + b'","cap":1e400}', 422, "invalid_request"),
        ("/v1/merchants", b'{"name":""}', 422, "invalid_request"),
        ("/v1/members", b" " * (1 << 20) + b"{}", 413, "body_too_large"),
        ("/v1/nothing", b"{}", 404, "not_found"),
        ("/v1/members/..%2f..", b"{}", 405, "method_not_allowed"),
    ],
)
async def test_a_bad_body_is_refused_and_changes_nothing(
    client: Client, db: Db, path: str, body: bytes, status: int, code: str
) -> None:
    before = await counts(db)
    refused = await client.post(path, body)
    assert refused.status == status
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert refused.headers["Request-Id"]
    assert refused.body["code"] == (code)
    assert await counts(db) == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/members/mem_nothing",
        "/v1/members/%00",
        "/v1/members/%FF",
        "/v1/links/lnk_nothing",
        "/v1/links/' OR 1=1 --",
        "/v1/merchants/mrc_nothing",
        "/v1/members/" + "x" * 5000,
    ],
)
async def test_what_does_not_exist_is_not_found(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=201", "cursor=x", "limit=1&limit=2", "external_id=%00", "q=1"],
)
async def test_a_bad_query_is_refused(client: Client, query: str) -> None:
    refused = await client.get(f"/v1/members?{query}")
    assert (refused.status, refused.code) == (422, "invalid_request")


async def test_a_method_that_a_path_does_not_take_is_named(client: Client) -> None:
    refused = await client.call("DELETE", "/v1/members")
    assert (refused.status, refused.code) == (405, "method_not_allowed")
    assert refused.headers["Allow"] == "GET, HEAD, POST"


def unsigned(header: dict[str, object], claims: dict[str, object]) -> str:
    parts = (base64.urlsafe_b64encode(msgspec.json.encode(part)) for part in (header, claims))
    return ".".join(part.rstrip(b"=").decode() for part in parts) + "."


def bad_tokens() -> dict[str, tuple[str, str]]:
    """What is wrong with each token, the token, and the code it gets."""
    now_s = int(time.time())
    kid, key = RING.active_token, RING.token[RING.active_token]
    claims: dict[str, object] = {
        "iss": "stampgate",
        "sub": "x",
        "iat": now_s,
        "exp": now_s + 600,
        "program": "prg_x",
        "scope": "members:write",
    }
    good = token("prg_x")
    foreign = keyring.generate(1, bytes(keyring.RING_ENTROPY_BYTES))
    return {
        "expired": (token("prg_x", ttl_s=-60), "token_expired"),
        "unsigned": (unsigned({"alg": "none", "kid": kid}, claims), "token_invalid"),
        "signed with the public key": (
            jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": kid}),
            "token_invalid",
        ),
        "of another ring": (
            tokens.issue(
                foreign, program_id="prg_x", subject="x", scopes=[], now_s=now_s, ttl_s=60,
                token_id="",
            ),
            "token_invalid",
        ),
        "without a key id": (
            jwt.encode(claims, keyring.private_key(key), algorithm="EdDSA"),
            "token_invalid",
        ),
        "with one character changed": (
            good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:],
            "token_invalid",
        ),
        "nonsense": ("nonsense", "token_invalid"),
        "of an empty text": ("", "unauthorized"),
        "huge": ("x" * 5000, "token_invalid"),
    }  # fmt: skip


async def test_a_bad_token_opens_nothing(
    client: Client, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    before = await counts(db)
    with caplog.at_level(logging.DEBUG):
        for name, (text, code) in bad_tokens().items():
            refused = await client.post("/v1/members", {}, Authorization=f"Bearer {text}")
            assert (name, refused.status, refused.code) == (name, 401, code)
            assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert await counts(db) == before
    assert not [text for text, _ in bad_tokens().values() if text and text in caplog.text]


@pytest.mark.parametrize("value", [None, "", "Bearer", "Basic dTpw", "Bearer a b"])
async def test_no_token_opens_nothing(client: Client, value: str | None) -> None:
    refused = await client.get("/v1/members", Authorization=value)
    assert refused.status == 401


async def test_a_scope_opens_its_routes_only(client: Client, db: Db) -> None:
    program_id = await db.fetchval("SELECT id FROM program")
    reader = Client(client.session, client.url, bearer(token(program_id, ["members:read"])))
    assert (await reader.get("/v1/members")).status == 200
    for refused in (
        await reader.post("/v1/members", {}),
        await reader.get("/v1/links"),
        await reader.get("/v1/programs"),
    ):
        assert (refused.status, refused.code) == (403, "insufficient_scope")


async def test_a_programs_token_cannot_name_another_program(
    client: Client, other: Client, db: Db
) -> None:
    first, second = [row["id"] for row in await db.fetch("SELECT id FROM program ORDER BY id")]
    own = await client.get("/v1/members", Stampgate_Program=first)
    foreign = await client.get("/v1/members", Stampgate_Program=second)
    assert own.status == 200
    assert (foreign.status, foreign.code) == (403, "forbidden")


async def test_a_platform_scope_in_a_programs_token_opens_nothing(client: Client, db: Db) -> None:
    program_id = await db.fetchval("SELECT id FROM program")
    sly = tokens.issue(
        RING,
        program_id=program_id,
        subject="x",
        scopes=["platform:admin"],
        now_s=int(time.time()),
        ttl_s=60,
        token_id="",
    )
    for path in ("/v1/programs", "/v1/members"):
        refused = await client.get(path, Authorization=f"Bearer {sly}")
        assert (refused.status, refused.code) == (403, "insufficient_scope")


async def test_a_huge_header_is_refused(client: Client) -> None:
    refused = await client.get("/v1/members", X_Padding="x" * 20_000)
    assert refused.status in {400, 431}


async def test_a_huge_body_is_refused_before_it_is_read(client: Client, db: Db) -> None:
    before = await counts(db)
    refused = await client.post("/v1/members", b"[" * (3 << 20))
    assert (refused.status, refused.code) == (413, "body_too_large")
    assert await counts(db) == before


@pytest.mark.parametrize(
    ("request_line", "statuses"),
    [
        (b"OPTIONS * HTTP/1.1", {404, 405}),
        (b"GET http://elsewhere.example.com/version HTTP/1.1", {200}),
        (b"GET //version HTTP/1.1", {404}),
        (b"GET /version?%ff=%00 HTTP/1.1", {200}),
        (b"GET /v1/members?limit=%ff HTTP/1.1", {401}),
        (b"GET /v1/\xff\xfe HTTP/1.1", {400, 404}),
        (b"CONNECT elsewhere.example.com:443 HTTP/1.1", {400, 404, 405}),
        (b"BREW /version HTTP/1.1", {400, 405}),
        (b"GET /version HTTP/9.9", {400}),
        (b"GET  HTTP/1.1", {400}),
        (b"\x16\x03\x01\x02\x00", {400}),
        (b"GET /version" + b"x" * 10_000 + b" HTTP/1.1", {431, 400, 414}),
    ],
)
async def test_a_strange_request_line_is_no_fault_of_ours(
    client: Client, request_line: bytes, statuses: set[int]
) -> None:
    parts = urlsplit(client.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request_line + b"\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    status_line = await reader.readline()
    writer.close()
    assert int(status_line.split()[1]) in statuses
