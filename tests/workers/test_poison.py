"""Reports that cannot be taken, through a fault of ours, are set aside, and the rest goes on."""

from __future__ import annotations

import datetime as dt

import msgspec

from core import clickid, ids
from core import conversions as conversions_
from core.networks import Rules
from core.settings import Settings
from db import members, networks, pg, postbacks
from tests.conftest import RING
from tests.db.test_conversions import ROW
from tests.providers.affiliate import server
from tests.workers.conftest import PROGRAM, Db
from tests.workers.test_conversions import (
    MEMBER,
    NETWORK,
    add,
    asked,
    count,
    plain,
    program,
    run,
    trackier,
)
from workers import loop, schedule, sync
from workers.broker import Tools
from workers.conversions import REST, Conversions

__all__ = ["asked", "program", "trackier"]

LINK = "lnk_01h455vb4pex5vsknk084sn02q"
NOW = conversions_.moment(loop.now_ms())
#: The most that an account can hold, so that nothing more can be booked to it.
FULL = """
INSERT INTO money_account (program_id, role, currency, member_id, balance_minor)
SELECT $1, role, 'INR', $2, 9223372036854775807 FROM unnest(ARRAY['pending', 'available']) AS role
"""


def mint(number: int, at: dt.datetime = NOW) -> str:
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 7)
    minter.sequence = number
    at_ms = (at - conversions_.EPOCH) // dt.timedelta(milliseconds=1)
    return minter.mint(at_ms, PROGRAM, ids.link_bits(LINK))


async def store(db: Db, text: str, member_id: str) -> None:
    at = conversions_.moment(clickid.decode(text).ms)
    await db.execute(ROW, at.date(), text, PROGRAM, LINK, at, member_id)


async def full(db: Db) -> None:
    """The member, to whom nothing can be booked, and another one."""
    await db.execute(FULL, PROGRAM, MEMBER)
    await members.add(db, RING, PROGRAM, "mem_2", members.NewMember())


def call(name: str, network_id: str = NETWORK, query: str = "payout=5") -> postbacks.New:
    asked = f"txid={name}&{query}"
    return postbacks.New(
        *(f"pbk_{name}", PROGRAM, network_id, NOW, "GET", asked, "{}", b"", None, None)
    )


async def test_a_call_that_cannot_be_taken_is_set_aside(
    settings: Settings, db: Db, pool: pg.Pool, program: None
) -> None:
    await add(db, "generic", {"currency": "INR"})
    await full(db)
    for number, owner in enumerate((MEMBER, "mem_2")):
        await store(db, mint(number), owner)
    calls = [call(f"t{n}", query=f"payout=5&click_id={mint(n)}") for n in range(2)]
    await postbacks.add(db, [*calls, call("t2")])
    reader = Conversions(settings, pool)
    assert await reader.step(loop.now_ms()) == 2
    rows = await db.fetch("SELECT verdict FROM postback ORDER BY id")
    assert [row["verdict"] for row in rows] == ["failed", "accepted", "accepted"]
    assert await reader.step(loop.now_ms()) == 0


async def test_a_conversion_that_cannot_be_booked_waits_by_itself(
    settings: Settings, db: Db, pool: pg.Pool, program: None
) -> None:
    await add(db, "generic", {"currency": "INR"})
    await full(db)
    await postbacks.add(db, [call(f"t{n}", query=f"payout=5&click_id={mint(n)}") for n in range(2)])
    reader, soon_ms = Conversions(settings, pool), loop.now_ms()
    await reader.step(soon_ms)
    for number, owner in enumerate((MEMBER, "mem_2")):
        await store(db, mint(number), owner)
    later_ms = soon_ms + 60_000
    assert await reader.step(later_ms) == 1
    rows = await db.fetch("SELECT parked, next_try_at FROM conversion ORDER BY txn_id")
    assert [row["parked"] for row in rows] == ["awaiting_click", None]
    assert rows[0]["next_try_at"] == conversions_.moment(later_ms) + REST


async def test_a_row_of_a_page_that_cannot_be_taken_costs_the_row(
    tools: Tools, db: Db, asked: server.Network
) -> None:
    await db.execute(FULL, PROGRAM, MEMBER)
    *others, first = asked.transactions
    at = conversions_.moment(server.EPOCH_MS) - dt.timedelta(days=30)
    text = mint(1, at)
    await store(db, text, MEMBER)
    asked.transactions = [*map(plain, others), msgspec.structs.replace(first, click_id=text)]
    await run(tools, db)
    network = await networks.get(db, PROGRAM, NETWORK)
    assert await count(db) == len(others)
    assert (network.sync_from, network.sync_failures) == (None, 0)
    assert network.last_error == "1 rows could not be read: it could not be taken"


async def test_a_place_that_is_none_of_the_window_has_it_read_anew(
    tools: Tools, db: Db, asked: server.Network
) -> None:
    asked.transactions = list(map(plain, asked.transactions))
    await db.execute("UPDATE network SET sync_cursor = '0.1.2.'")
    await run(tools, db)
    network = await networks.get(db, PROGRAM, NETWORK)
    assert (network.sync_cursor, network.sync_failures) == (None, 1)
    await run(tools, db)
    assert await count(db) == len(asked.transactions)


async def test_no_network_waits_for_another_with_more_to_do(db: Db, program: None) -> None:
    await add(db, "generic", {"currency": "INR"})
    other = networks.New(provider="generic", name="x", config={}, rules=Rules(), credentials=None)
    await networks.add(db, RING, PROGRAM, "net_0", other, b"")
    await postbacks.add(db, [call(f"a{n}", "net_0") for n in range(5)])
    await postbacks.add(db, [call("b")])
    assert await postbacks.waiting(db, 2) == [(PROGRAM, "net_0"), (PROGRAM, NETWORK)]


async def test_a_network_whose_settings_are_not_good_keeps_no_other_from_being_asked(
    settings: Settings, db: Db, asked: server.Network
) -> None:
    await db.execute(
        "INSERT INTO network (id, program_id, provider, name, config, rules, token_hash,"
        " next_sync_at) VALUES ('net_0', $1, 'trackier', 'x', '{}', '{}', '', '2020-01-01')",
        PROGRAM,
    )
    await db.execute("UPDATE network SET next_sync_at = '2020-01-02' WHERE id = $1", NETWORK)
    async with db.transaction():
        await sync.schedule(settings, db, loop.now_ms())
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'sync_network'") == 1
    bad = await networks.get(db, PROGRAM, "net_0")
    assert bad.last_error is not None
    assert bad.next_sync_at > NOW
    assert any(job.name == "sync_networks" for job in schedule.JOBS)


async def test_an_account_that_cannot_be_used_says_so(
    tools: Tools, db: Db, asked: server.Network
) -> None:
    await db.execute("UPDATE network SET config = '{}'")
    await run(tools, db)
    network = await networks.get(db, PROGRAM, NETWORK)
    assert network.last_error == "the settings or the credentials of the account cannot be used"
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0
