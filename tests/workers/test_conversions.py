"""The readers of postbacks and the sync, against a network on a socket."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core import conversions as conversions_
from core import tasks
from core.contacts import Contact
from core.networks import Rules
from core.settings import Settings
from db import contacts, conversions, members, money, networks, outbox, pg, postbacks
from tests.conftest import RING
from tests.providers.affiliate import server
from tests.providers.affiliate.trackier import Trackier
from tests.providers.server import running
from tests.workers.conftest import PROGRAM, Db
from workers import jobs, loop, schedule, sync
from workers.broker import Tools
from workers.conversions import Conversions

NETWORK = "net_1"
MEMBER = "mem_1"
DAY = dt.timedelta(days=1)
END = conversions_.moment(server.EPOCH_MS)
CREDITED = """
INSERT INTO conversion (id, program_id, network_id, txn_id, event, version, state,
       status_word, commission_minor, corrected_minor, counted, member_id, attribution,
       reasons, booked_currency, booked_commission_minor, booked_cashback_minor,
       first_seen_at, updated_at)
SELECT 'cnv_' || member_id, $1, $2, member_id, '', 1, 'approved', '', 10000, 0, '{}',
       member_id, 'click', '{}', 'INR', 10000, 5000, now(), now()
  FROM unnest($3::text[]) AS member_id
"""


@pytest.fixture
async def program(db: Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())


@pytest.fixture
async def trackier() -> AsyncIterator[Trackier]:
    async with running(Trackier) as listening:
        yield listening


async def add(db: Db, provider: str, config: dict[str, Any], secret: Any = None) -> None:
    new = networks.New(
        provider=provider, name="Shops", config=config, rules=Rules(), credentials=secret
    )
    await networks.add(db, RING, PROGRAM, NETWORK, new, b"")


@pytest.fixture
async def asked(program: None, db: Db, trackier: Trackier) -> Trackier:
    """A network that is to be asked for thirty days."""
    config = {**trackier.config(), "calls_per_minute": 60_000}
    await add(db, "trackier", config, trackier.credentials())
    trackier.transactions = server.many([number / 2 for number in range(1, 41)], status="approved")
    network = await networks.get(db, PROGRAM, NETWORK)
    await networks.ask(db, network, END - 30 * DAY, END, END)
    return trackier


async def count(db: Db) -> int:
    found: int = await db.fetchval("SELECT count(*) FROM conversion")
    return found


async def run(tools: Tools, db: Db) -> None:
    """One start of the sync, as the worker makes it."""
    row = await db.fetchrow("SELECT id, attempts FROM outbox WHERE task = 'sync_network'")
    if row is None:
        row_id, attempts = await outbox.add(db, tasks.SyncNetwork(NETWORK)), 0
    else:
        row_id, attempts = row["id"], row["attempts"]
    await jobs.perform(tools, row_id, attempts)


async def test_a_sync_reads_all_pages_once(tools: Tools, db: Db, asked: Trackier) -> None:
    asked.transactions = [plain(one) for one in asked.transactions]
    await run(tools, db)
    network = await networks.get(db, PROGRAM, NETWORK)
    assert await count(db) == 40
    assert (network.sync_from, network.synced_until, network.last_error) == (None, END, None)
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'sync_network'") == 0
    await networks.ask(db, network, END - 30 * DAY, END, END)
    await run(tools, db)
    assert await count(db) == 40
    assert await money.check(db) == []


def plain(one: server.Transaction) -> server.Transaction:
    """Without its click id, which is none of ours."""
    return msgspec.structs.replace(one, click_id="")


async def test_a_kill_between_pages_costs_the_page(
    tools: Tools, db: Db, asked: Trackier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.transactions = [plain(one) for one in asked.transactions]
    real, taken = networks.advance, 0

    async def killed(*args: Any) -> None:
        nonlocal taken
        taken += 1
        await real(*args)
        if taken == 3:
            raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(networks, "advance", killed)
        with pytest.raises(asyncio.CancelledError):
            await run(tools, db)
    done = await count(db)
    assert 0 < done < 40
    assert (await networks.get(db, PROGRAM, NETWORK)).sync_cursor is not None
    await run(tools, db)
    assert await count(db) == 40
    assert await db.fetchval("SELECT max(step) FROM money_transaction") == 1


async def test_a_page_is_taken_in_parts_and_a_kill_between_them_costs_nothing(
    tools: Tools, db: Db, asked: Trackier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.transactions = [plain(one) for one in asked.transactions]
    real, parts = conversions.apply, []

    async def killed(*args: Any) -> Any:
        parts.append(len(args[3]))
        if len(parts) == 5:
            raise asyncio.CancelledError
        return await real(*args)

    monkeypatch.setattr(sync, "BATCH", 3)
    with monkeypatch.context() as patch:
        patch.setattr(conversions, "apply", killed)
        with pytest.raises(asyncio.CancelledError):
            await run(tools, db)
    assert parts == [3, 3, 1, 3, 3]
    assert await count(db) == 10
    await run(tools, db)
    assert await count(db) == 40
    assert await db.fetchval("SELECT max(step) FROM money_transaction") == 1
    assert await money.check(db) == []


async def test_the_next_page_is_asked_for_while_one_is_taken(
    tools: Tools, db: Db, asked: Trackier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.transactions = [plain(one) for one in asked.transactions]
    real = conversions.apply

    async def waiting(*args: Any) -> Any:
        if len(asked.questions) < 2:
            asked.was_asked.clear()
            await asked.was_asked.wait()
        return await real(*args)

    monkeypatch.setattr(conversions, "apply", waiting)
    await run(tools, db)
    assert await count(db) == 40


async def test_two_syncs_at_a_time_take_each_page_once(
    tools: Tools, db: Db, pool: pg.Pool, asked: Trackier
) -> None:
    asked.transactions = [plain(one) for one in asked.transactions]
    rows = [await outbox.add(db, tasks.SyncNetwork(NETWORK)) for _ in range(3)]
    await asyncio.gather(*(jobs.perform(tools, row, 0) for row in rows))
    assert await count(db) == 40
    assert (await networks.get(db, PROGRAM, NETWORK)).sync_from is None


async def test_a_refused_account_waits_and_says_why(tools: Tools, db: Db, asked: Trackier) -> None:
    asked.key = "another-key-0123456789"
    await run(tools, db)
    network = await networks.get(db, PROGRAM, NETWORK)
    assert (network.sync_failures, network.sync_from) == (1, END - 30 * DAY)
    assert network.last_error == "the network does not take the credentials"
    assert network.next_sync_at > dt.datetime.now(dt.UTC) + dt.timedelta(hours=5)
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_window_that_is_asked_for_meanwhile_is_not_ended_by_the_one_before(
    tools: Tools, db: Db, asked: Trackier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.transactions = [plain(one) for one in asked.transactions]
    real, start = sync._take, END - 60 * DAY

    async def overtaken(*args: Any) -> None:
        await networks.ask(db, args[1], start, END, END)
        await real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(sync, "_take", overtaken)
        await run(tools, db)
    network = await networks.get(db, PROGRAM, NETWORK)
    assert (network.sync_from, network.sync_cursor, await count(db)) == (start, None, 0)


async def test_a_call_that_fails_costs_no_page(
    tools: Tools, db: Db, asked: Trackier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "TURN_S", -1.0)
    asked.transactions = [plain(one) for one in asked.transactions]
    await run(tools, db)
    before = await networks.get(db, PROGRAM, NETWORK)
    asked.key = "another-key-0123456789"
    await run(tools, db)
    after = await networks.get(db, PROGRAM, NETWORK)
    assert before.sync_cursor is not None
    assert (after.sync_cursor, after.sync_failures) == (before.sync_cursor, 1)


async def test_a_network_that_was_disabled_meanwhile_is_not_asked(
    tools: Tools, db: Db, asked: Trackier
) -> None:
    await db.execute("UPDATE network SET state = 'disabled'")
    await run(tools, db)
    assert (await count(db), asked.questions) == (0, [])
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_networks_are_asked_when_their_time_has_come(
    settings: Settings, db: Db, program: None, trackier: Trackier
) -> None:
    await add(db, "trackier", trackier.config(), trackier.credentials())
    now_ms = loop.now_ms() + 1_000
    for _ in range(2):
        async with db.transaction():
            await sync.schedule(settings, db, now_ms)
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'sync_network'") == 1
    network = await networks.get(db, PROGRAM, NETWORK)
    now = conversions_.moment(now_ms)
    assert (network.sync_from, network.sync_to) == (now - sync.FIRST, now)
    assert network.next_sync_at == now + sync.EVERY


async def test_a_reader_reads_what_was_stored(
    settings: Settings, db: Db, pool: pg.Pool, program: None
) -> None:
    await add(db, "generic", {"currency": "INR"})
    now = conversions_.moment(loop.now_ms())
    calls = [
        postbacks.New(
            *(f"pbk_{number}", PROGRAM, NETWORK, now, "GET", f"txid=t{number}&payout=5"),
            *("{}", b"", None, None),
        )
        for number in range(5)
    ]
    await postbacks.add(db, calls)
    readers = [Conversions(settings, pool) for _ in range(2)]
    await asyncio.gather(*(reader.step(loop.now_ms()) for reader in readers))
    assert await count(db) == 5
    assert [await reader.step(loop.now_ms()) for reader in readers] == [0, 0]


async def test_a_network_that_fails_does_not_keep_others_waiting(
    settings: Settings, db: Db, pool: pg.Pool, program: None
) -> None:
    await add(db, "generic", {"currency": "INR"})
    await db.execute(
        "INSERT INTO network (id, program_id, provider, name, config, rules, token_hash)"
        " VALUES ('net_0', $1, 'gone', 'x', '{}', '{}', '')",
        PROGRAM,
    )
    now = conversions_.moment(loop.now_ms())
    for name in ("net_0", NETWORK):
        call = postbacks.New(
            *(f"pbk_{name}", PROGRAM, name, now, "GET", "txid=t&payout=5", "{}", b"", None, None)
        )
        await postbacks.add(db, [call])
    assert await Conversions(settings, pool).step(loop.now_ms()) == 1
    assert await db.fetchval("SELECT verdict FROM postback WHERE network_id = $1", NETWORK)


async def test_members_hear_of_cashback_once(tools: Tools, db: Db, program: None) -> None:
    await add(db, "generic", {})
    # The last one has no address.
    people = [MEMBER, "mem_2", "mem_3"]
    for member_id in people[1:]:
        await members.add(db, RING, PROGRAM, member_id, members.NewMember())
    for number, member_id in enumerate(people[:2]):
        contact = Contact("email", f"asha{number}@example.com")
        await contacts.put(db, RING, PROGRAM, member_id, contact, is_verified=True)
    await db.execute(CREDITED, PROGRAM, NETWORK, people)
    for _ in range(2):
        row_id = await outbox.add(db, tasks.TellCashback([f"cnv_{one}" for one in people]))
        await jobs.perform(tools, row_id, 0)
    rows = await db.fetch("SELECT recipient_id FROM notification ORDER BY recipient_id")
    assert [row["recipient_id"] for row in rows] == people[:2]
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'tell_cashback'") == 0
    assert any(job.name == "sync_networks" for job in schedule.JOBS)


@pytest.mark.parametrize(
    "change", ["state = 'reversed'", "review = 'held'", "booked_cashback_minor = 0"]
)
async def test_nobody_hears_of_cashback_that_is_gone_meanwhile(
    tools: Tools, db: Db, program: None, change: str
) -> None:
    await add(db, "generic", {})
    contact = Contact("email", "asha@example.com")
    await contacts.put(db, RING, PROGRAM, MEMBER, contact, is_verified=True)
    await db.execute(CREDITED, PROGRAM, NETWORK, [MEMBER])
    await db.execute(f"UPDATE conversion SET {change}")
    row_id = await outbox.add(db, tasks.TellCashback([f"cnv_{MEMBER}"]))
    await jobs.perform(tools, row_id, 0)
    assert await db.fetchval("SELECT count(*) FROM notification") == 0
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'tell_cashback'") == 0
