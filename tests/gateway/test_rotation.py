"""A rotated token key logs nobody out; a retired one does, warm or not, in both lanes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from core import keyring
from core.settings import Settings
from gateway.app import App
from tests import lanes
from tests.gateway import people
from tests.gateway.conftest import RING, Client, encode, running

NEW_KEY = bytes(range(64, 64 + keyring.KEY_BYTES))
ROTATED = keyring.rotate(RING, "token", 1_800_000_000_000, NEW_KEY)
RETIRED = keyring.retire(ROTATED, "token", RING.active_token)


@pytest.fixture
def program_id(client: Client) -> str:
    return people.program(client)


@pytest.fixture
async def second(settings: Settings, app: App) -> AsyncIterator[tuple[App, str]]:
    """Another process that reads the same file."""
    async with running(settings) as running_one:
        yield running_one


def write(settings: Settings, ring: keyring.KeyRing) -> None:
    """As `stampgate keys` does: the file is replaced as a whole."""
    path = Path(settings.keyring_file)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(keyring.dump(ring))
    fresh.replace(path)


async def test_a_rotation_logs_nobody_out(
    client: Client, app: App, program_id: str, settings: Settings, second: tuple[App, str]
) -> None:
    await people.member(client, app)
    elsewhere = Client(client.session, second[1], client.headers)
    old = (await people.log_in(client, program_id)).body
    write(settings, ROTATED)
    app.verifier.look()
    new = (await people.log_in(client, program_id)).body
    assert jwt.get_unverified_header(new["access_token"])["kid"] == ROTATED.active_token
    # The other process has not looked at the file since, and asks it for the key it misses.
    for held in (new, old):
        for where in (elsewhere, client):
            assert (await people.holding(where, held).get("/v1/me")).status == 200
    refreshed = await people.refresh(elsewhere, old["refresh_token"])
    assert refreshed.status == 200


async def test_a_process_signs_with_a_rotated_key_by_itself(
    client: Client, app: App, program_id: str, settings: Settings
) -> None:
    await people.member(client, app)
    write(settings, ROTATED)
    started = time.monotonic()
    while app.ring.active_token != ROTATED.active_token:
        assert time.monotonic() - started < 20
        await asyncio.sleep(0.02)
    grant = (await people.log_in(client, program_id)).body
    assert jwt.get_unverified_header(grant["access_token"])["kid"] == ROTATED.active_token


async def test_the_key_set_names_all_public_keys(
    client: Client, app: App, settings: Settings
) -> None:
    write(settings, ROTATED)
    app.verifier.look()
    answer = await client.get("/.well-known/jwks.json", Authorization=None)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    found: dict[str, Any] = {key["kid"]: key for key in answer.body["keys"]}
    assert list(found) == [ROTATED.active_token, RING.active_token]
    own = client.headers["Authorization"].removeprefix("Bearer ")
    key = jwt.PyJWK(found[RING.active_token])
    assert jwt.decode(own, key, algorithms=["EdDSA"])["iss"] == "stampgate"
    assert "d" not in repr(sorted(found[RING.active_token]))[2:-2].split("', '")


@lanes.BOTH_LANES
async def test_a_retired_key_lets_nobody_in(
    client: Client, app: App, program_id: str, settings: Settings
) -> None:
    member = (await client.post("/v1/members", {})).body["id"]
    award = {"member": member, "kind": "points", "amount": 1}
    assert (await client.post("/v1/awards", award, Idempotency_Key="a")).status == 201
    write(settings, RETIRED)
    app.verifier.look()
    refused = await client.post("/v1/awards", award, Idempotency_Key="b")
    assert (refused.status, refused.code) == (401, "token_invalid")


async def test_a_broken_ring_changes_nothing(client: Client, app: App, settings: Settings) -> None:
    Path(settings.keyring_file).write_text("{")
    assert not app.verifier.look()
    assert (await client.get("/v1/members")).status == 200


async def test_other_keys_wait_for_the_restart(app: App, settings: Settings) -> None:
    """Processes that read what was made with them learn of them only then."""
    ring = keyring.rotate(ROTATED, "field", 1, NEW_KEY)
    write(settings, keyring.rotate(ring, "click", 1, NEW_KEY))
    assert app.verifier.look()
    assert app.ring.active_token == ROTATED.active_token
    assert (app.ring.active_field, app.ring.active_click) == (RING.active_field, RING.active_click)
    assert "field-1" in app.ring.field


@lanes.BOTH_LANES
async def test_a_session_that_ended_awards_nothing(
    client: Client, app: App, program_id: str
) -> None:
    await people.operator(app, program_id=program_id, role="staff")
    caller = people.holding(client, (await people.log_in_operator(client)).body)
    member = (await client.post("/v1/members", {})).body["id"]
    award = encode({"member": member, "kind": "points", "amount": 1})
    assert (await caller.post("/v1/awards", award, Idempotency_Key="a")).status == 201
    assert (await caller.call("POST", "/v1/auth/logout")).status == 204
    refused = await caller.post("/v1/awards", award, Idempotency_Key="b")
    assert (refused.status, refused.code) == (401, "token_revoked")
