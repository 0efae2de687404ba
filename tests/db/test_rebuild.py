"""A partition that Redis lost comes back from PostgreSQL as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from core import errors
from db import awards, click_rows, decisions, flush, keys, members, pg, programs, rebuild, redis
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import accounts
from tests.db.accounts import MEMBER, NOW_MS, PROGRAM, WHERE, Bank, ask, closing, limited

TTL_MS = 86_400_000
RULES = limited(per_member_day=1_000, interval_s=1, budget=5_000)
STATE = ("balances", "holds", "expiries", "reversed", "last", "lease")
EXPIRES = {"expires_in_s": 60}


class Flusher:
    """Moves the member's partition to PostgreSQL, and rebuilds it from there."""

    def __init__(self, db: pg.Db, connection: redis.Connection) -> None:
        self.db = db
        self.connection = connection
        self.since = "0-0"

    async def drain(self) -> None:
        once = flush.Flush(click_rows.Rows(click_rows.open_resolver("")), accounts.quiet)
        await once.prepare(self.db)
        stream = keys.award_stream(WHERE)
        found = await self.connection.call("XRANGE", stream, f"({self.since}", "+")
        entries = [flush.Entry(raw[0].decode(), raw[1][1]) for raw in found]
        if entries:
            await once.apply(self.db, [flush.Portion(stream, self.since, entries)])
            self.since = entries[-1].id

    async def rebuild(self, now_ms: int = NOW_MS) -> rebuild.Report:
        return await rebuild.rebuild(
            self.db, self.connection, WHERE, now_ms=now_ms, marker_ttl_ms=TTL_MS
        )

    async def state(self, generation: int) -> dict[str, object]:
        """All that Redis knows, but for zeros, which are as good as nothing."""
        found: dict[str, object] = {}
        for name, key in zip(STATE, keys.award_state(WHERE, generation)[2:], strict=True):
            if name == "expiries":
                found[name] = await self.connection.call("ZRANGE", key, 0, -1, "WITHSCORES")
                continue
            flat = await self.connection.call("HGETALL", key)
            hashed = dict(zip(flat[::2], flat[1::2], strict=True))
            found[name] = {field: value for field, value in hashed.items() if value != b"0"}
        day = keys.award_limits(WHERE, generation, "20260115")
        found["limits"] = await self.connection.call("HGETALL", day)
        return found


@pytest.fixture
async def program(db: pg.Db) -> None:
    """The program with its limits."""
    await programs.change(db, PROGRAM, {"settings": RULES.settings, "time_zone": "Asia/Kolkata"})


@pytest.fixture
async def flusher(
    database: DatabaseUrls, connection: redis.Connection, program: None
) -> AsyncIterator[Flusher]:
    db = await asyncpg.connect(database.flush)
    yield Flusher(db, connection)
    await db.close()


async def lived(bank: Bank) -> list[tuple[awards.Ask, decisions.Decision]]:
    """A member's life: all that leaves traces. Returns what may be asked again."""
    award = ask("award", 500, program=RULES)
    given = await bank.decide(award)
    taken = ask("reverse", 40, related=accounts.name(given), bound=500)
    spend = ask("spend", 60)
    asked = [(award, given), *[(one, await bank.decide(one)) for one in (taken, spend)]]
    holds = [ask("hold", 10, **EXPIRES) for _ in range(4)]
    opened = [(one, await bank.decide(one)) for one in holds]
    closed = [closing("capture", opened[0][1], 4), closing("release", opened[1][1])]
    asked += [*opened, *[(one, await bank.decide(one)) for one in closed]]
    await bank.decide(closing("expire", opened[2][1], key=""), NOW_MS + 60_000)
    stamp = ask("award", 1, unit="stamps", program=RULES)
    return [*asked, (stamp, await bank.decide(stamp))]


async def test_a_wiped_partition_comes_back_as_it_was(
    banked: Bank, connection: redis.Connection, flusher: Flusher
) -> None:
    asked = await lived(banked)
    before = await flusher.state(1)
    assert all(before.values())
    await flusher.drain()
    await connection.call("FLUSHDB")
    with pytest.raises(errors.NotOpen):
        await banked.decide(ask("award", 1))
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    report = await flusher.rebuild()
    assert (report.generation, report.holds, report.markers) == (2, 1, len(asked))
    assert await flusher.state(2) == before
    for question, first in asked:
        again = await banked.decide(question, NOW_MS + 1)
        assert again == first._replace(is_replay=True)
        with pytest.raises(errors.IdempotencyKeyReused):
            await banked.decide(question._replace(reason="another"))
    last = max(decision.sequence for _, decision in asked)
    fresh = await banked.decide(ask("award", 1))
    assert (fresh.generation, fresh.sequence) == (2, last + 1)
    with pytest.raises(errors.LimitReached):
        await banked.decide(ask("award", 1, program=RULES))
    held = next(one for question, one in asked if question.op == "hold" and one.sequence == 7)
    assert (await banked.decide(closing("capture", held))).amount == 10


async def test_markers_live_as_long_as_they_would_have(
    banked: Bank, connection: redis.Connection, flusher: Flusher
) -> None:
    question = ask("award", 5)
    await banked.decide(question)
    await flusher.drain()
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    report = await flusher.rebuild(NOW_MS + TTL_MS - 5_000)
    marker = keys.award_scope(PROGRAM, question.caller, MEMBER, question.key)
    left_ms = await connection.call("PTTL", keys.award_marker(WHERE, 2, marker))
    assert 0 < left_ms <= 5_000
    assert report.markers == 1
    assert (await flusher.rebuild(NOW_MS + TTL_MS)).markers == 0


async def test_deleted_members_stay_out(banked: Bank, flusher: Flusher, db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await banked.decide(ask("award", 50))
    hold = await banked.decide(ask("hold", 20, **EXPIRES))
    await members.delete(db, PROGRAM, MEMBER)
    await flusher.drain()
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    await flusher.rebuild()
    assert await banked.state.balances(PROGRAM, MEMBER) is None
    with pytest.raises(errors.MemberNotFound):
        await banked.decide(ask("award", 1))
    assert (await banked.decide(closing("release", hold))).amount == 20
    assert await banked.state.balances(PROGRAM, MEMBER) is None


async def test_a_rebuild_that_was_cut_short_is_made_again(
    banked: Bank,
    connection: redis.Connection,
    flusher: Flusher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await banked.decide(ask("award", 50))
    await flusher.drain()
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    await rebuild.close(connection, WHERE)
    for step in ("_load", "_load_limits", "_load_markers"):
        with monkeypatch.context() as patched:

            async def cut(*_: object) -> int:
                raise ConnectionError

            patched.setattr(rebuild, step, cut)
            with pytest.raises(ConnectionError):
                await flusher.rebuild()
        with pytest.raises(errors.NotOpen):
            await banked.decide(ask("award", 1))
    assert (await flusher.rebuild()).accounts == 1
    assert (await banked.decide(ask("award", 1))).balance == 51
    assert await connection.call("EXISTS", keys.award_balances(WHERE, 1)) == 0


async def test_budget_and_reversals_leave_no_more_than_was_leased(
    banked: Bank, flusher: Flusher, connection: redis.Connection
) -> None:
    program = limited(budget=100)
    before = await banked.decide(ask("award", 1_000))
    assert before.balance == 1_000
    await banked.decide(ask("award", 40, program=program))
    await flusher.drain()
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    await flusher.rebuild()
    left = await connection.call("HGET", keys.award_budget(WHERE, 2), f"{PROGRAM}:p")
    assert left == b"0"
    with pytest.raises(errors.BudgetExhausted):
        await banked.decide(ask("award", 61, program=program))
    await banked.decide(ask("award", 60, program=program))
