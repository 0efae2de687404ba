"""Tokens of an attacker's own making. Bodies are in `test_every_route`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec

from core import keyring
from tests import lanes
from tests.core.test_tokens import shared_secrets
from tests.gateway.conftest import RING, Client, Db, bearer, counts
from tests.gateway.people import program


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

    hs256 = {"alg": "HS256", "kid": kid}
    stolen = keyring.private_key(foreign.token[foreign.active_token])
    return {
        "alg none": by_hand({"alg": "none", "kid": kid}, claims, None),
        "alg None": by_hand({"alg": "None", "kid": kid}, claims, None),
        "no signature": by_hand({"alg": "EdDSA", "kid": kid}, claims, None),
        **{
            f"HS256 with the {name}": by_hand(hs256, claims, secret)
            for name, secret in shared_secrets(RING, kid).items()
        },
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
