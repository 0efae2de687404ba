"""Clicks that are made beforehand, between the API and the redirector."""

from __future__ import annotations

from core import clickid, clicks
from db import clicks as stored
from db import keys, pg, redis

CLICK = clicks.Premint(program_id="prg_x", link_id="lnk_x", slug="tea", parameters={"sub1": "ä"})
KEY = bytes(32)


async def test_boots_are_numbered_and_begin_again_when_the_bits_are_used_up(
    connection: redis.Connection,
) -> None:
    first = await stored.new_boot(connection)
    assert await stored.new_boot(connection) == first + 1
    await connection.call("SET", keys.BOOTS, stored.BOOTS_MAX - 1)
    assert await stored.new_boot(connection) == 0


async def test_a_click_waits_for_its_visit_and_no_longer_than_its_time(
    connection: redis.Connection,
) -> None:
    assert await stored.minted(connection, "c1") is None
    await stored.premint(connection, "c1", CLICK, 60)
    assert await stored.minted(connection, "c1") == (CLICK, False)
    assert 0 < await connection.call("TTL", keys.premint("c1")) <= 60


async def test_the_redirectors_visit_finds_what_was_made(connection: redis.Connection) -> None:
    await stored.premint(connection, "c1", CLICK, 60)
    for is_first in (1, 0):
        packed, counted = await connection.run(redis.CLICK_VISIT, (keys.premint("c1"),), (5,))
        assert clicks.decode_premint(packed) == CLICK
        assert counted == is_first
    assert await stored.minted(connection, "c1") == (CLICK, True)


async def test_a_click_that_is_not_stored_is_none(db: pg.Db) -> None:
    minter = clickid.Minter(0, KEY, 1)
    click = clickid.decode(minter.mint(1_700_000_000_000, "prg_x", 1))
    assert await stored.stored(db, "prg_x", click) is None
