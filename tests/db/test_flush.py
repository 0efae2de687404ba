"""Stream entries in PostgreSQL: each once, with its roll-ups, balances and checkpoint."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core import clickid, events, ids, ledger
from core.events import Click, ClickBatch, PointsEvent, PointsFacts
from db import click_rows, flush, keys, quarantine
from db import ledger as books
from db.flush import Entry, Portion
from deploy.local.postgres import DatabaseUrls
from tests.db.accounts import NOW_MS, PROGRAM, quiet

LINK = ids.new("link", NOW_MS, bytes(10))
CLICKS, POINTS = keys.click_stream(1), keys.award_stream(3)
ADDRESS = "203.0.113.0"
MINTER = clickid.Minter(1, bytes(32), 7)
_ids = itertools.count(1)

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def db(database: DatabaseUrls) -> AsyncIterator[Db]:
    """With the rights of the flusher."""
    connection = await asyncpg.connect(database.flush)
    yield connection
    await connection.close()


@pytest.fixture
async def owner(database: DatabaseUrls) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(database.migrate)
    yield connection
    await connection.close()


async def flusher(db: Db) -> flush.Flush:
    made = flush.Flush(click_rows.Rows(click_rows.open_resolver("")), quiet)
    await made.prepare(db)
    return made


def click(**more: Any) -> Click:
    click_id = MINTER.mint(NOW_MS, PROGRAM, 5)
    base = Click(
        *(click_id, LINK, PROGRAM, 0, (), ADDRESS, "IN", "curl/8", None),
        privacy_signal=False, member_id=None, variant=None, parameters=None, preminted=False,
    )  # fmt: skip
    return base._replace(**more)


def batch(*clicks: Click) -> Entry:
    number = next(_ids)
    return Entry(f"{NOW_MS}-{number}", events.encode(ClickBatch(7, number, list(clicks))))


def event(
    kind: ledger.Type = "award", amount: int = 5, member: str = "mem_1", **facts: Any
) -> PointsEvent:
    said = PointsFacts(kind, "test", "", b"", None, None, NOW_MS, NOW_MS, None, None)
    return PointsEvent(amount, amount, 0, f"{PROGRAM}:{member}:p", said._replace(**facts))


def decided(first: int, *happened: PointsEvent) -> Entry:
    return Entry(f"1-{first}", events.encode(list(happened)))


def pairs(found: list[asyncpg.Record]) -> dict[str, Any]:
    return {row[0]: row[1] for row in found}


async def rows(db: Db, table: str) -> int:
    count: int = await db.fetchval(f"SELECT count(*) FROM {table}")
    return count


async def test_clicks_and_points_move_in_one_transaction(db: Db) -> None:
    once = await flusher(db)
    first, second = batch(click(), click()), batch(click(hit_class=2))
    portions = [
        Portion(CLICKS, "0-0", [first, second]),
        Portion(POINTS, "0-0", [decided(1, event(), event("spend", 2)), decided(3, event())]),
    ]
    assert await once.apply(db, portions) == flush.Applied(3, 3, 3, 0)
    stands = pairs(await db.fetch("SELECT stream, last_id FROM stream_checkpoint"))
    assert (stands[CLICKS], stands[POINTS]) == (second.id, "1-3")
    assert await books.sequence(db, 3) == 3
    assert await books.check(db) == []
    daily = await db.fetch("SELECT class, sum(clicks) AS n FROM click_daily GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in daily] == [(0, 2), (2, 1)]
    balances = pairs(await db.fetch("SELECT role, balance FROM account"))
    assert balances == {"available": 8, "budget": -10, "redeemed": 2}


async def test_accounts_that_a_rollback_has_taken_back_are_made_anew(db: Db) -> None:
    troubles = iter([RuntimeError("once")])

    async def announce(*_: object) -> None:
        for trouble in troubles:
            raise trouble

    once = flush.Flush(click_rows.Rows(click_rows.open_resolver("")), announce)
    await once.prepare(db)
    portions = [Portion(POINTS, "0-0", [decided(1, event(), event(member="mem_2"))])]
    with pytest.raises(RuntimeError, match="once"):
        await once.apply(db, portions)
    await once.apply(db, portions)
    assert await books.check(db) == []
    balances = await db.fetch("SELECT role, sum(balance)::bigint FROM account GROUP BY role")
    assert pairs(balances) == {"available": 10, "budget": -10}
    lines = await books.statement(db, PROGRAM, "mem_2", unit=None, before=None, limit=9)
    assert [(line["sequence"], line["balance"]) for line in lines] == [(2, 5)]


async def test_a_click_that_comes_twice_is_stored_and_counted_once(db: Db) -> None:
    once = await flusher(db)
    seen = click()
    one, two = batch(seen, seen), batch(seen, click())
    assert (await once.apply(db, [Portion(CLICKS, "0-0", [one])])).inserted_clicks == 1
    assert (await once.apply(db, [Portion(CLICKS, one.id, [two])])).inserted_clicks == 1
    assert await db.fetchval("SELECT sum(clicks) FROM click_daily") == await rows(db, "click") == 2
    boot = await db.fetchrow("SELECT boot, stored FROM click_boot")
    assert tuple(boot or ()) == (7, 2)


async def test_a_twin_that_moved_on_leaves_nothing_to_apply(db: Db, database: DatabaseUrls) -> None:
    other = await asyncpg.connect(database.flush)
    entry, award = batch(click()), decided(1, event())
    portions = [Portion(CLICKS, "0-0", [entry]), Portion(POINTS, "0-0", [award])]
    both = [(await flusher(one)).apply(one, portions) for one in (db, other)]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Applied", "CheckpointMoved"]
    assert [await rows(db, table) for table in ("click", "posting")] == [1, 1]
    assert await books.check(db) == []
    await other.close()


async def test_a_rollback_takes_back_the_accounts_and_salts_that_it_made(db: Db) -> None:
    once = await flusher(db)
    good = decided(1, event())
    twice = Portion(POINTS, "0-0", [good, decided(1, event())])
    with pytest.raises(asyncpg.UniqueViolationError):
        await once.apply(db, [Portion(CLICKS, "0-0", [batch(click())]), twice])
    assert await rows(db, "account") == await rows(db, "address_salt") == 0
    await once.apply(db, [Portion(CLICKS, "0-0", [batch(click())]), Portion(POINTS, "0-0", [good])])
    assert await books.check(db) == []
    assert await rows(db, "address_salt") == 1
    assert await rows(db, "posting") == 1


@pytest.mark.parametrize(
    "poison",
    [
        event(amount=-5),
        event(amount=2**63),
        event(member="mem\0"),
        event(related="nothing", kind="capture"),
        event(occurred_at_ms=2**60),
        event()._replace(account="no account"),
    ],
    ids=["negative", "huge", "nul", "related", "time", "account"],
)
async def test_a_bad_event_is_set_aside_and_its_neighbors_are_applied(
    db: Db, poison: PointsEvent
) -> None:
    once = await flusher(db)
    portion = Portion(POINTS, "0-0", [decided(1, event(), poison, event())])
    with pytest.raises(flush.REFUSALS):
        await once.apply(db, [portion])
    assert await once.apply_singly(db, portion) == flush.Applied(0, 0, 2, 1)
    (aside,) = await quarantine.page(db)
    assert (aside.stream, aside.entry_id, aside.position) == (POINTS, "1-1", 1)
    assert await books.sequence(db, 3) == 3
    assert await books.check(db) == []
    await once.apply(db, [Portion(POINTS, "1-1", [decided(4, event())])])


@pytest.mark.parametrize("stream", [CLICKS, POINTS])
@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\x01", b"\x00"])
async def test_an_entry_that_is_no_msgpack_is_set_aside_whole(
    db: Db, stream: str, payload: bytes
) -> None:
    once = await flusher(db)
    portion = Portion(stream, "0-0", [Entry("1-1", payload)])
    with pytest.raises(flush.REFUSALS):
        await once.apply(db, [portion])
    assert (await once.apply_singly(db, portion)).poisons == 1
    (aside,) = await quarantine.page(db)
    assert aside.payload == payload
    assert await db.fetchval("SELECT last_id FROM stream_checkpoint WHERE stream = $1", stream)


async def test_a_bad_click_is_set_aside_and_its_neighbors_are_applied(db: Db) -> None:
    once = await flusher(db)
    for bad in (click(click_id="x"), click(hit_class=99), click(user_agent="\0")):
        start = await db.fetchval("SELECT last_id FROM stream_checkpoint WHERE stream = $1", CLICKS)
        portion = Portion(CLICKS, start, [batch(click(), bad, click())])
        with pytest.raises(flush.REFUSALS):
            await once.apply(db, [portion])
        assert await once.apply_singly(db, portion) == flush.Applied(2, 2, 0, 1)


async def test_what_was_set_aside_is_applied_when_its_cause_is_gone(db: Db, owner: Db) -> None:
    once = await flusher(db)
    await owner.execute("ALTER TABLE posting ADD CONSTRAINT small CHECK (amount < 100)")
    portion = Portion(POINTS, "0-0", [decided(1, event(), event(amount=100), event(amount=200))])
    assert (await once.apply_singly(db, portion)).poisons == 2
    mender = await flusher(owner)
    first, second = await quarantine.page(owner)
    with pytest.raises(asyncpg.CheckViolationError):
        await quarantine.replay(owner, mender, first)
    await owner.execute("ALTER TABLE posting DROP CONSTRAINT small")
    for aside in (second, first):
        await quarantine.replay(owner, mender, aside)
    assert await quarantine.page(owner) == []
    assert await books.check(owner) == []
    held = await owner.fetchval("SELECT balance FROM account WHERE role = 'available'")
    assert held == 305


async def test_an_address_is_stored_as_a_hash_of_its_day(db: Db) -> None:
    once = await flusher(db)
    silent = click(privacy_signal=True)
    await once.apply(db, [Portion(CLICKS, "0-0", [batch(click(), click(), silent)])])
    hashes = await db.fetch("SELECT address_hash, privacy_signal, click::text AS all FROM click")
    assert len({row["address_hash"] for row in hashes if not row["privacy_signal"]}) == 1
    assert [row["address_hash"] for row in hashes if row["privacy_signal"]] == [None]
    assert not any(ADDRESS in row["all"] for row in hashes)
    salt = await db.fetchval("SELECT salt FROM address_salt")
    assert len(salt) == 32


async def test_a_hold_lives_until_it_is_closed(db: Db) -> None:
    once = await flusher(db)
    hold = event("hold", 10, expires_at_ms=NOW_MS + 60_000)
    capture = event("capture", 4, related="1-2")._replace(remainder=6)
    entries = [
        decided(1, event(amount=50), hold, hold, hold, hold),
        decided(6, capture, event("release", 10, related="1-3")),
        decided(8, event("expire", 10, related="1-4")),
    ]
    await once.apply(db, [Portion(POINTS, "0-0", entries)])
    held = await db.fetch("SELECT sequence, state, captured FROM hold ORDER BY sequence")
    assert [tuple(row) for row in held] == [
        (2, "captured", 4), (3, "released", 0), (4, "expired", 0), (5, "open", 0),
    ]  # fmt: skip
    roles = pairs(await db.fetch("SELECT role, balance FROM account"))
    assert roles == {"available": 36, "held": 10, "budget": -50, "redeemed": 4}
    assert await books.check(db) == []


KINDS = st.sampled_from(["award", "reversal", "spend"])
HAPPENED = st.lists(
    st.builds(event, KINDS, st.integers(1, 2**53 - 1), st.sampled_from(["mem_1", "mem_2"])),
    min_size=1,
    max_size=8,
)


def test_the_books_balance_whatever_happens(database: DatabaseUrls) -> None:
    loop = asyncio.new_event_loop()
    db = loop.run_until_complete(asyncpg.connect(database.flush))
    once = loop.run_until_complete(flusher(db))
    last = 0

    async def apply(entries: list[list[PointsEvent]]) -> None:
        nonlocal last
        packed = []
        for happened in entries:
            packed.append(decided(last + 1, *happened))
            last += len(happened)
        since = await db.fetchval("SELECT last_id FROM stream_checkpoint WHERE stream = $1", POINTS)
        await once.apply(db, [Portion(POINTS, since, packed)])
        assert await books.check(db) == []

    @examples(max_examples=15, deadline=None, database=None)
    @given(st.lists(HAPPENED, min_size=1, max_size=4))
    def check(entries: list[list[PointsEvent]]) -> None:
        loop.run_until_complete(apply(entries))

    check()
    loop.run_until_complete(db.close())
    loop.close()


async def list_networks(owner: Db, program: str, name: str, *networks: tuple[str, str]) -> None:
    await owner.execute(
        """INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')
               ON CONFLICT DO NOTHING""",
        program,
    )
    await owner.execute(
        "INSERT INTO fraud_list VALUES ($1, $2, 'networks', 1, 'opr_1', now())", program, name
    )
    said = "INSERT INTO listed_network VALUES ($1, $2, $3::text::cidr, $4)"
    await owner.executemany(said, [(program, name, *one) for one in networks])


async def networks(db: Db, *clicks: Click) -> list[list[str] | None]:
    found = pairs(await db.fetch("SELECT click_id, networks FROM click"))
    return [found[one.click_id] for one in clicks]


async def test_an_account_that_is_gone_is_noticed(db: Db, owner: Db) -> None:
    once = await flusher(db)
    await once.apply(db, [Portion(POINTS, "0-0", [decided(1, event())])])
    assert await books.check(db) == []
    await owner.execute("DELETE FROM account")
    assert {one.partition(": ")[2] for one in await books.check(db)} == {
        "balance None, entries -5", "balance None, entries 5",
    }  # fmt: skip


async def test_a_click_keeps_in_which_lists_of_its_program_its_network_stood(
    db: Db, owner: Db
) -> None:
    await list_networks(owner, PROGRAM, "a", ("203.0.0.0/16", "wide"), ("203.0.113.0/24", "close"))
    await list_networks(owner, PROGRAM, "b", ("203.0.113.0/24", ""), ("2001:db8::/32", "six"))
    await list_networks(owner, "prg_2", "theirs", ("203.0.113.0/24", ""))
    once = await flusher(db)
    listed, twice = click(), click(address="2001:db8:1::")
    away = [
        click(address="203.1.113.0"),
        click(address=None),
        click(privacy_signal=True),
        click(program_id="prg_3", link_id="lnk_3"),
    ]
    entry = batch(listed, twice, *away)
    await once.apply(db, [Portion(CLICKS, "0-0", [entry])])
    assert await networks(db, listed, twice, *away) == [
        ["a close", "b "], ["b six"], None, None, None, None,
    ]  # fmt: skip


async def test_an_address_that_is_not_kept_is_looked_up_in_no_list(db: Db, owner: Db) -> None:
    await list_networks(owner, PROGRAM, "a", ("203.0.113.0/24", ""))
    rows = click_rows.Rows(click_rows.open_resolver(""))
    once = flush.Flush(rows, quiet)
    await once.prepare(db)
    entry = batch(click(privacy_signal=True), click(address="203.0.114.0"))
    await once.apply(db, [Portion(CLICKS, "0-0", [entry])])
    assert rows.listed == {(PROGRAM, "203.0.114.0"): []}


async def test_a_list_is_heeded_after_a_while(
    db: Db, owner: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = await flusher(db)
    clicks = [click() for _ in range(4)]
    entries = [batch(one) for one in clicks]
    await once.apply(db, [Portion(CLICKS, "0-0", entries[:1])])
    await list_networks(owner, PROGRAM, "a", ("203.0.113.0/24", ""))
    await once.apply(db, [Portion(CLICKS, entries[0].id, entries[1:2])])
    now_s = time.monotonic() + flush.LISTS_S
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    await once.apply(db, [Portion(CLICKS, entries[1].id, entries[2:3])])
    await owner.execute("DELETE FROM listed_network")
    monkeypatch.setattr(time, "monotonic", lambda: now_s + flush.LISTS_S)
    await once.apply(db, [Portion(CLICKS, entries[2].id, entries[3:])])
    assert await networks(db, *clicks) == [None, None, ["a "], None]
