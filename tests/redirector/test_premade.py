"""`GET /c/{click_id}`: clicks that the API made beforehand."""

from __future__ import annotations

import pytest

from core import classes, clicks, ids
from core.clickid import Minter
from core.clicks import Premint
from core.keyring import KeyRing
from db import keys
from db.redis import Connection
from deploy.local.redis_server import Redis
from tests.redirector.conftest import PROGRAM, Publish, Redirector, eventually, live, recorded

MEMBER = "mem_01h455vb4pex5vsknk084sn02q"


@pytest.fixture
async def premade(publish: Publish, connection: Connection, ring: KeyRing) -> tuple[str, str]:
    """Click id and link id of a click that waits for its visit."""
    link_id = await publish("demo", destination="https://shop.example/p?id={click_id}&s={sub1}")
    minter = Minter(ring.active_click, ring.click[ring.active_click], 9)
    click_id = minter.mint(1_700_000_000_000, PROGRAM, ids.link_bits(link_id))
    premint = Premint(
        program_id=PROGRAM,
        link_id=link_id,
        slug="demo",
        member_id=MEMBER,
        parameters={"sub1": "ours"},
    )
    await connection.call("HSET", keys.premint(click_id), "e", clicks.encode_premint(premint))
    return click_id, link_id


async def test_visit_leads_on_with_its_own_id_and_is_counted_live_once(
    redirector: Redirector, connection: Connection, premade: tuple[str, str]
) -> None:
    click_id, link_id = premade
    for path in (click_id, click_id.upper(), f"{click_id}?sub1=theirs"):
        answer = await redirector.get(f"/c/{path}")
        assert answer.status == 302
        assert answer.headers["Location"] == f"https://shop.example/p?id={click_id}&s=ours"
    found = await recorded(connection)
    assert [click.click_id for click in found] == [click_id] * 3
    assert all(click.preminted and click.member_id == MEMBER for click in found)
    assert await live(connection, link_id) == {classes.HUMAN: 1}


async def test_head_visits_nothing(
    redirector: Redirector, connection: Connection, premade: tuple[str, str]
) -> None:
    answer = await redirector.get(f"/c/{premade[0]}", method="HEAD")
    assert answer.headers["Location"] == "https://shop.example/p?id=&s=ours"
    assert await connection.call("HEXISTS", keys.premint(premade[0]), "visited_at") == 0
    assert await recorded(connection) == []


async def test_forged_id_is_not_found_even_if_redis_knows_it(
    redirector: Redirector, connection: Connection, premade: tuple[str, str]
) -> None:
    forged = premade[0][:-1] + ("0" if premade[0][-1] != "0" else "1")
    await connection.call("COPY", keys.premint(premade[0]), keys.premint(forged))
    assert (await redirector.get(f"/c/{forged}")).status == 404


async def test_without_redis_it_is_503(
    redirector: Redirector, redis_server: Redis, premade: tuple[str, str]
) -> None:
    assert (await redirector.get(f"/c/{premade[0]}")).status == 302
    redis_server.kill()
    await eventually(lambda: not redirector.state.redis.is_up)
    assert (await redirector.get(f"/c/{premade[0]}")).status == 503
