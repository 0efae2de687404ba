"""Behind a proxy whose clients share a connection to us: nobody gets what is another's."""

from __future__ import annotations

import pytest

from core.settings import Settings
from tests.gateway.conftest import Client, speaking
from tests.lanes import BOTH_LANES, reads_a_body, until
from tests.nginx import NEEDS_NGINX, Proxy, attacks, proxying

pytestmark = [NEEDS_NGINX, BOTH_LANES]


def request(client: Client, member: str, key: str, *lines: str) -> bytes:
    """An award of one point; the key is also its reference."""
    body = f'{{"member":"{member}","kind":"points","amount":1,"reference":"{key}"}}'
    return "\r\n".join((
        *("POST /v1/awards HTTP/1.1", "Host: x", f"Idempotency-Key: {key}", *lines),
        *(f"Authorization: {client.headers['Authorization']}", f"Content-Length: {len(body)}"),
        *("", body),
    )).encode()  # fmt: skip


async def award(proxy: Proxy, client: Client, member: str, key: str) -> None:
    answer = await proxy.ask(request(client, member, key, "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert f'"member":"{member}"'.encode() in answer, answer
    assert f'"reference":"{key}"'.encode() in answer, answer


@pytest.mark.parametrize("buffering", [True, False], ids=["buffering", "streaming"])
async def test_victim_on_the_shared_connection_gets_its_own_answer(
    settings: Settings,
    client: Client,
    other: Client,
    buffering: bool,  # noqa: FBT001 - a parameter
) -> None:
    evil, good = [
        str((await caller.post("/v1/members", {})).body["id"]) for caller in (client, other)
    ]
    hidden = request(client, evil, "hidden")
    credentials = f"Authorization: {client.headers['Authorization']}".encode()
    shared = 0
    async with (
        speaking(settings) as (_, speaker),
        proxying(speaker.port, buffering=buffering) as proxy,
    ):
        for lines in ((), (credentials, b"Idempotency-Key: outer")):
            for number, attack in enumerate(attacks(b"/v1/awards", hidden, *lines)):
                await award(proxy, other, good, f"before-{number}")
                kept = set(speaker.server.connections)
                attacker = await proxy.attack(attack)
                await award(proxy, other, good, f"victim-{number}")
                await award(proxy, other, good, f"after-{number}")
                shared += kept == set(speaker.server.connections)
                attacker.close()
    assert shared > 60, "attackers and victims do share a connection"


async def test_request_that_is_another_ones_body_is_not_answered(
    settings: Settings, client: Client, other: Client
) -> None:
    evil, good = [
        str((await caller.post("/v1/members", {})).body["id"]) for caller in (client, other)
    ]
    hidden = request(client, evil, "hidden")
    head = request(client, evil, "outer").partition(b"Content-Length")[0]
    async with (
        speaking(settings) as (_, speaker),
        proxying(speaker.port, buffering=False) as proxy,
    ):
        await award(proxy, client, evil, "first")
        await award(proxy, other, good, "before")
        reader, writer = await proxy.connect()
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(hidden))
        await until(lambda: any(map(reads_a_body, speaker.server.connections)))
        writer.write(hidden)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        await award(proxy, other, good, "victim")
        writer.close()
    balances = (await client.get(f"/v1/members/{evil}/balances")).body
    assert balances["points"]["available"] == 1
