"""`/v1/members/{id}/balances` and `/statement`: what a member has, and how it came about.

Members see their own under `/v1/me/balances` and `/v1/me/activity`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from aiohttp import web

from core import errors, ids
from db import awards, keys, ledger, members
from gateway import lists, lookups
from gateway.app import Call
from web import problem
from web.routing import Route

KINDS: dict[str, ids.Kind] = {
    "award": "award",
    "reversal": "reversal",
    "spend": "spend",
    "hold": "hold",
}


class Balance(msgspec.Struct, frozen=True):
    """What can be spent, and what holds have set aside."""

    available: int
    held: int


class Balances(msgspec.Struct, frozen=True):
    """A member's balances, as they are now."""

    member: str
    points: Balance
    stamps: Balance


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a statement; `balance` is what was available after it."""

    id: str | None
    type: str
    kind: str
    amount: int
    balance: int
    reason: str | None
    reference: str | None
    occurred_at: dt.datetime
    created_at: dt.datetime
    sequence: int


class Statement(msgspec.Struct, frozen=True):
    """A page of a statement; all events up to `as_of_sequence` are in it."""

    data: list[Line]
    next_cursor: str | None
    as_of_sequence: int


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a statement is asked for."""

    kind: awards.Unit | None = None


async def balances(call: Call) -> web.Response:
    """The member's balances, from where they are decided."""
    app, member_id = call.app, _member(call)
    program_id = call.principal.program_id
    found = await app.points.balances(program_id, member_id)
    if found is None:
        await lookups.settled(awards.know_member(app.points, app.pool, program_id, member_id))
        found = await app.points.balances(program_id, member_id) or {}
    units = {unit: Balance(*found.get(unit, (0, 0))) for unit in ("points", "stamps")}
    return problem.reply(Balances(member_id, **units))


async def statement(call: Call) -> web.Response:
    """The member's events, newest first, as far as PostgreSQL has them."""
    search = problem.decode_query(Search, call.query)
    program_id, member_id = call.principal.program_id, _member(call)
    async with call.app.transaction() as db:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
        partition = ids.partition_of(program_id, member_id, keys.AWARD_PARTITIONS)
        as_of = await ledger.sequence(db, partition)
        rows = await ledger.statement(
            db,
            program_id,
            member_id,
            unit=search.kind,
            before=_before(search.cursor),
            limit=search.limit + 1,
        )
    shown = rows[: search.limit]
    cursor = None
    if len(rows) > search.limit:
        cursor = f"{shown[-1]['generation']}-{shown[-1]['sequence']}"
    return problem.reply(Statement([_line(row) for row in shown], cursor, as_of))


def _member(call: Call) -> str:
    """Whom the path names, or the caller's own."""
    return call.params.get("member_id", call.principal.subject)


def _before(cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    try:
        generation, sequence = ledger.parse_key(cursor)
    except ValueError:
        raise lists.bad_cursor() from None
    if not (0 <= generation < 1 << 31 and 0 <= sequence < 1 << 53):
        raise lists.bad_cursor()
    return generation, sequence


def _line(row: Any) -> Line:
    ref = ids.EventRef(row["partition"], row["generation"], row["sequence"], row["ms"])
    kind = KINDS.get(row["type"])
    return Line(
        id=None if kind is None else ids.event_id(kind, ref),
        type=row["type"],
        kind=row["unit"],
        amount=row["amount"],
        balance=row["balance"],
        reason=row["reason"],
        reference=row["reference"],
        occurred_at=row["occurred_at"],
        created_at=row["recorded_at"],
        sequence=row["sequence"],
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/members/{member_id}/balances",
        handler=balances,
        name="get_balances",
        summary="A member's points and stamps",
        scope="awards:read",
        reply=Balances,
        errors=(errors.MemberNotFound, errors.NotOpen),
    ),
    Route(
        method="GET",
        path="/v1/members/{member_id}/statement",
        handler=statement,
        name="get_statement",
        summary="How a member's balances came about",
        scope="awards:read",
        query=Search,
        reply=Statement,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/me/balances",
        handler=balances,
        name="get_my_balances",
        summary="One's own points and stamps",
        scope="me",
        reply=Balances,
        errors=(errors.MemberNotFound, errors.NotOpen),
    ),
    Route(
        method="GET",
        path="/v1/me/activity",
        handler=statement,
        name="get_my_activity",
        summary="How one's own balances came about",
        scope="me",
        query=Search,
        reply=Statement,
        errors=(errors.MemberNotFound,),
    ),
)
