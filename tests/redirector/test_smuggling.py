"""Behind a proxy whose clients share a connection to us: nobody gets what is another's."""

from __future__ import annotations

import bcrypt
import pytest

from db.redis import Connection
from tests.lanes import BOTH_LANES, reads_a_body, until
from tests.nginx import NEEDS_NGINX, Proxy, attacks, proxying
from tests.redirector.conftest import Publish, Redirector, recorded

pytestmark = [NEEDS_NGINX, BOTH_LANES]

EVIL = b"GET /r/evil HTTP/1.1\r\nHost: x\r\n\r\n"


async def visit(proxy: Proxy, slug: str) -> None:
    """A visit of a link whose host is its slug."""
    answer = await proxy.ask(
        b"GET /r/%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % slug.encode()
    )
    assert answer.startswith(b"HTTP/1.1 302 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert b"\r\nLocation: https://%b.example/" % slug.encode() in answer, answer


@pytest.mark.parametrize("buffering", [True, False], ids=["buffering", "streaming"])
async def test_victim_on_the_shared_connection_gets_its_own_answer(
    redirector: Redirector,
    publish: Publish,
    buffering: bool,  # noqa: FBT001 - a parameter
) -> None:
    for slug in ("evil", "decoy", "one", "two", "three"):
        await publish(slug, destination=f"https://{slug}.example/?subid={{click_id}}")
        await redirector.get(f"/r/{slug}")
    server = redirector.speaker.server
    others = set(server.connections)
    shared = 0
    async with proxying(redirector.speaker.port, buffering=buffering) as proxy:
        for path in (b"/r/decoy", b"/r/unknown", b"/r/decoy/unlock"):
            for attack in attacks(path, EVIL):
                await visit(proxy, "one")
                kept = set(server.connections) - others
                attacker = await proxy.attack(attack)
                await visit(proxy, "two")
                await visit(proxy, "three")
                shared += kept == set(server.connections) - others
                attacker.close()
    assert shared > 100, "attackers and victims do share a connection"


async def test_request_that_is_another_ones_body_is_not_answered(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("locked", password_hash=bcrypt.hashpw(b"a", bcrypt.gensalt(4)).decode())
    for slug in ("evil", "one"):
        await publish(slug, destination=f"https://{slug}.example/?subid={{click_id}}")
        await redirector.get(f"/r/{slug}")
    async with proxying(redirector.speaker.port, buffering=False) as proxy:
        await visit(proxy, "one")
        reader, writer = await proxy.connect()
        head = b"POST /r/locked/unlock HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(EVIL))
        await until(lambda: any(map(reads_a_body, redirector.speaker.server.connections)))
        writer.write(EVIL)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"evil" not in answer
        await visit(proxy, "one")
        writer.close()
    assert len(await recorded(connection)) == 4
