"""What an attacker tries on every route: tokens of his own making, bodies too deep or too large,
and fields that are not his to set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
import msgspec
import pytest

from core import keyring
from gateway import routes
from tests import lanes
from tests.gateway.conftest import RING, Client, Db, bearer, counts, token
from tests.gateway.people import program
from web.problem import JSON
from web.routing import Route

DEPTH = 20_000
# What no client may say of anything: who it belongs to, what it may do, and what we make of it.
FORBIDDEN_FRUIT: dict[str, object] = {
    "id": "mem_01jd3k3q9ef3h9z1x0y8v7w6t5",
    "program_id": "prg_01jd3k3q9ef3h9z1x0y8v7w6t5",
    "role": "admin",
    "scopes": ["platform:admin"],
    "is_platform": True,
    "state": "approved",
    "balance": 10**9,
    "created_at": "2020-01-01T00:00:00Z",
    "deleted_at": None,
    "password_hash": "$argon2id$",
    "secret": "whsec_mine",
    "__proto__": {"role": "admin"},
}


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode()


def by_hand(header: Mapping[str, object], claims: Mapping[str, object], key: bytes | None) -> str:
    """A token that no library of ours made; an HMAC of it if there is a key."""
    body = f"{encoded(header)}.{encoded(claims)}"
    mac = b"" if key is None else hmac.digest(key, body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def forgeries(program_id: str) -> dict[str, str]:
    """Tokens that would be an admin's, if one of them were believed."""
    now_s, kid = int(time.time()), RING.active_token
    key = RING.token[kid]
    private = keyring.private_key(key)
    foreign = keyring.generate(1, bytes(keyring.RING_ENTROPY_BYTES))
    claims: dict[str, object] = {
        "iss": "stampgate", "sub": "opr_x", "iat": now_s, "exp": now_s + 600, "role": "admin",
        "scope": "platform:admin awards:write members:read", "program": program_id, "mfa": True,
    }  # fmt: skip

    def signed(changes: dict[str, object], **header: object) -> str:
        named: dict[str, Any] = {"kid": kid, **header}
        return jwt.encode({**claims, **changes}, private, algorithm="EdDSA", headers=named)

    raw_public = keyring.public_key(key).public_bytes_raw()  # type: ignore[union-attr]  # Ed25519
    hs256 = {"alg": "HS256", "kid": kid}
    stolen = keyring.private_key(foreign.token[foreign.active_token])
    return {
        "alg none": by_hand({"alg": "none", "kid": kid}, claims, None),
        "alg None": by_hand({"alg": "None", "kid": kid}, claims, None),
        "no signature": by_hand({"alg": "EdDSA", "kid": kid}, claims, None),
        "HS256 with the public PEM": by_hand(hs256, claims, key.public_pem.encode()),
        "HS256 with the public bytes": by_hand(hs256, claims, raw_public),
        "HS256 with nothing": by_hand(hs256, claims, b""),
        "signed by somebody else": jwt.encode(claims, stolen, "EdDSA", headers={"kid": kid}),
        "kid of a file": signed({}, kid="../../../../dev/null"),
        "kid of a query": signed({}, kid="x' UNION SELECT 'key"),
        "kid of an address": signed({}, kid="https://evil.example/key"),
        "a key brought along": signed({}, jwk={"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        "a key elsewhere": signed({}, jku="https://evil.example/jwks.json"),
        "expired": signed({"exp": now_s - 60}),
        "of the future": signed({"iat": now_s + 600}),
        "not yet good": signed({"nbf": now_s + 600}),
        "good forever": signed({"exp": None}),
        "of another issuer": signed({"iss": "https://evil.example"}),
        "of nobody": signed({"sub": ""}),
    }


@lanes.BOTH_LANES
async def test_a_forged_token_opens_nothing_in_either_lane(client: Client, db: Db) -> None:
    program_id = program(client)
    before = await counts(db)
    award = {"member": "mem_x", "kind": "points", "amount": 1}
    for name, text in forgeries(program_id).items():
        headers = {**bearer(text), "Idempotency_Key": "k"}
        for answer in (
            await client.post("/v1/awards", award, **headers),
            await client.get("/v1/members", **bearer(text)),
            await client.get("/v1/admin/audit", **bearer(text)),
        ):
            assert (name, answer.status) == (name, 401)
            assert answer.code in {"token_invalid", "token_expired"}, name
    assert await counts(db) == before


async def test_what_a_token_says_of_itself_is_not_widened_by_its_header(client: Client) -> None:
    """A program's own token with the platform's scope and role is still a program's."""
    now_s, kid = int(time.time()), RING.active_token
    claims = {
        "iss": "stampgate", "sub": "opr_x", "iat": now_s, "exp": now_s + 600, "role": "admin",
        "scope": "platform:admin", "program": program(client),
    }  # fmt: skip
    private = keyring.private_key(RING.token[kid])
    sly = bearer(jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": kid}))
    assert (await client.get("/v1/admin/audit", **sly)).code == "insufficient_scope"
    assert (await client.get("/v1/programs", **sly)).code == "insufficient_scope"


def with_bodies() -> list[Route]:
    return [one for one in routes.ROUTES if one.body is not None and one.body_type == JSON]


def path_of(route: Route) -> str:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", "x")
    return path


@pytest.fixture
async def admin(client: Client) -> Client:
    """Who may do everything, so that the body is what is looked at."""
    headers = {**bearer(token(None)), "Stampgate-Program": program(client)}
    return Client(client.session, client.url, headers)


async def test_a_deep_body_is_no_json_to_any_route(admin: Client) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        body = opening * DEPTH + b"1" + closing * DEPTH
        for route in with_bodies():
            answer = await admin.call(route.method, path_of(route), body, Idempotency_Key="k")
            assert answer.status in {400, 403, 404, 413, 422}, (route.name, answer.status)
            if answer.status in {400, 422}:
                assert answer.code in {"invalid_json", "invalid_request"}, route.name


async def test_a_body_that_is_too_large_is_refused_by_every_route(admin: Client) -> None:
    for route in with_bodies():
        size = (route.body_limit or 1 << 20) + 1
        answer = await admin.call(
            route.method, path_of(route), b'"' + b"x" * size + b'"', Idempotency_Key="k"
        )
        assert answer.status in {403, 404, 413}, (route.name, answer.status)


async def test_no_route_takes_fields_that_are_not_its_own(admin: Client, db: Db) -> None:
    """Mass assignment: whatever else a body says, one field too many refuses it."""
    before = await counts(db)
    for route in with_bodies():
        for name, value in FORBIDDEN_FRUIT.items():
            if name in fields_of(route):
                continue
            answer = await admin.call(
                route.method, path_of(route), {name: value}, Idempotency_Key="k"
            )
            assert answer.status in {403, 404, 422}, (route.name, name, answer.status)
    assert await counts(db) == before


def fields_of(route: Route) -> set[str]:
    """What the body may have, at its top."""
    (shape,), components = msgspec.json.schema_components([route.body], ref_template="{name}")
    shape = components.get(shape.get("$ref", ""), shape)
    return set(shape.get("properties", {}))


#: Made by browsers, which add to it as they like: `PushSubscription.toJSON()`.
OF_BROWSERS: Final = {"Browser", "Keys"}


def test_every_body_refuses_what_it_does_not_know() -> None:
    """So that a field can be added later without a client having sent it before."""
    lax = []
    for route in with_bodies():
        _, components = msgspec.json.schema_components([route.body], ref_template="{name}")
        lax += [
            (route.name, name)
            for name, shape in components.items()
            if shape.get("type") == "object"
            and "properties" in shape
            and shape.get("additionalProperties") is not False
            and name not in OF_BROWSERS
        ]
    assert lax == []
