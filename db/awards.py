"""Awards, spends, holds and reversals: what is asked, put to the award script, and what came of it.

`place` sends an `Ask` with the others of its turn; `settle` waits for the answer, and if Redis does
not know the member, or the program's budget lease is used up, asks PostgreSQL and tries again.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final, Literal, NamedTuple

from core import errors, events, ids
from core.ledger import Type
from core.programs import Program, day
from db import budgets, decisions, keys, ledger, members, points
from db.pg import Pool

Unit = Literal["points", "stamps"]
Op = Literal["award", "reverse", "spend", "hold", "capture", "release", "expire"]

HASH_BYTES: Final = 16
# Others may use up what was leased for this award; when PostgreSQL has no more it says so.
TRIES: Final = 8
CLOSING: Final = frozenset({"capture", "release", "expire"})
TYPES: Final[dict[Op, Type]] = {
    "award": "award",
    "reverse": "reversal",
    "spend": "spend",
    "hold": "hold",
    "capture": "capture",
    "release": "release",
    "expire": "expire",
}


class Ask(NamedTuple):
    """What a caller wants decided. `related` is the award or hold it is about, `bound` what the
    award that is reversed was worth; an empty `key` is for our own sweeps.
    """

    op: Op
    program: Program
    caller: str
    key: str
    unit: Unit
    amount: int
    member_id: str = ""
    partition: int = -1
    reason: str | None = None
    reference: str | None = None
    occurred_at_ms: int | None = None
    related: str = ""
    bound: int = 0
    expires_in_s: int = 0

    @property
    def where(self) -> int:
        """The partition that decides."""
        if self.partition >= 0:
            return self.partition
        return ids.partition_of(self.program.id, self.member_id, keys.AWARD_PARTITIONS)


class Event(NamedTuple):
    """A points event that was decided, found again by its id."""

    type: Type
    member_id: str
    unit: Unit
    amount: int
    balance: int
    reason: str | None
    reference: str | None
    occurred_at_ms: int
    recorded_at_ms: int


def place(state: points.Points, ask: Ask, now_ms: int) -> asyncio.Future[decisions.Outcome]:
    """Put the question into the turn's call; raises and fails as `Points.submit`."""
    return state.submit(ask.where, _item(ask, now_ms))


def place_for(state: points.Points, ask: Ask, now_ms: int, waiter: points.Waiter) -> None:
    """`place` for somebody who is told at once, without a future and a turn of the loop."""
    state.place(ask.where, _item(ask, now_ms), waiter)


async def settle(
    state: points.Points,
    pool: Pool,
    ask: Ask,
    now_ms: int,
    placed: asyncio.Future[decisions.Outcome],
) -> decisions.Decision:
    """The decision, or the refusal as an error."""
    outcome = await placed
    for _ in range(TRIES):
        if outcome.status == decisions.UNKNOWN_MEMBER:
            await know_member(state, pool, ask.program.id, ask.member_id)
        elif outcome.status == decisions.BUDGET:
            await _lease(state, pool, ask)
        else:
            break
        outcome = await place(state, ask, now_ms)
    return outcome.decision()


async def decide(state: points.Points, pool: Pool, ask: Ask, now_ms: int) -> decisions.Decision:
    """`place` and `settle`."""
    return await settle(state, pool, ask, now_ms, place(state, ask, now_ms))


async def know_member(state: points.Points, pool: Pool, program_id: str, member_id: str) -> None:
    """Open the account of a member that only PostgreSQL knows; MemberNotFound."""
    async with pool.acquire(timeout=5) as db:
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
    await state.open_accounts(program_id, [member_id])


async def find(
    state: points.Points, pool: Pool, program_id: str, ref: ids.EventRef
) -> Event | None:
    """A decided event of the program: from the stream while it waits there, else PostgreSQL."""
    waiting = await state.waiting_event(ref.partition, ref.generation, ref.sequence)
    if waiting is not None:
        owner, member_id, unit = events.parse_account(waiting.account)
        facts = waiting.facts
        found = Event(
            facts.type, member_id, _unit(unit), waiting.amount, waiting.balance, facts.reason,
            facts.reference, facts.occurred_at_ms, facts.recorded_at_ms,
        )  # fmt: skip
    else:
        async with pool.acquire(timeout=5) as db:
            row = await ledger.find(db, ref.partition, ref.generation, ref.sequence)
        if row is None:
            return None
        owner = row["program_id"]
        found = Event(
            row["type"], row["member_id"], _unit(row["unit"]), row["amount"], row["balance"],
            row["reason"], row["reference"], row["occurred_at_ms"], row["recorded_at_ms"],
        )  # fmt: skip
    return found if owner == program_id and found.recorded_at_ms == ref.ms else None


def _unit(text: str) -> Unit:
    return "points" if text == "points" else "stamps"


async def _lease(state: points.Points, pool: Pool, ask: Ask) -> None:
    """Lease more of the program's budget for the partition; BudgetExhausted when none is left.

    The generation is read first: a rebuild in between counts the lease from PostgreSQL, and what
    is added to the generation before it is not read any more.
    """
    total = ask.program.settings.rules(ask.unit).budget
    generation = await state.generation(ask.where)
    async with pool.acquire(timeout=5) as db, db.transaction():
        leased = await budgets.lease(
            db, ask.program.id, ask.unit, ask.where, total=total or 0, wanted=ask.amount
        )
    await state.add_lease(ask.where, generation, ask.program.id, ask.unit, leased)


def _item(ask: Ask, now_ms: int) -> decisions.Item:
    said = (
        ask.op, ask.member_id, ask.unit, ask.amount, ask.reason, ask.reference,
        ask.occurred_at_ms, ask.related, ask.bound, ask.expires_in_s,
    )  # fmt: skip
    expires_at_ms = now_ms + 1000 * ask.expires_in_s if ask.op == "hold" else None
    body_hash = (
        hashlib.blake2b(events.encode(said), digest_size=HASH_BYTES).digest() if ask.key else b""
    )
    facts = events.PointsFacts(
        TYPES[ask.op], ask.caller, ask.key, body_hash, ask.reason, ask.reference,
        now_ms if ask.occurred_at_ms is None else ask.occurred_at_ms, now_ms,
        ask.related or None, expires_at_ms,
    )  # fmt: skip
    is_closing = ask.op in CLOSING
    account = (
        ask.program.id
        if is_closing
        else events.account_field(ask.program.id, ask.member_id, ask.unit)
    )
    marker = keys.award_scope(
        ask.program.id, ask.caller, ask.related if is_closing else ask.member_id, ask.key
    )
    item = decisions.Item(
        ask.op, account, ask.amount, body_hash, events.encode(facts), marker, now_ms,
        ask.related, expires_at_ms or ask.bound,
    )  # fmt: skip
    return _limited(item, ask, now_ms) if ask.op == "award" else item


def _limited(item: decisions.Item, ask: Ask, now_ms: int) -> decisions.Item:
    rules = ask.program.settings.rules(ask.unit)
    if rules.per_member_day is None and rules.interval_s == 0 and rules.budget is None:
        return item
    has_limit = rules.per_member_day is not None
    return item._replace(
        day=day(ask.program.time_zone, now_ms) if has_limit else "",
        limit=-1 if rules.per_member_day is None else rules.per_member_day,
        interval_ms=rules.interval_s * 1000,
        has_budget=rules.budget is not None,
    )
