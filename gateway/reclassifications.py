"""`/v1/admin/reclassifications`: a fraud rule looks at conversions again, and the difference is
booked; a dry run only says what that would be.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, fraud_rules
from core.fraud import Action
from core.fraud_rules import Condition, OfConversion
from core.links import Time
from db import fraud_rules as rules
from db import reclassifications as stored
from db.fraud_rules import Stored
from db.pg import Db
from db.reclassifications import Change, New, Reclassification, State
from gateway import answers, auditing, lists
from gateway.app import Call, read
from gateway.lookups import moment
from web import problem
from web.routing import Route

Id = Annotated[str, Meta(max_length=64)]


class RuleToTry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that is not stored, for a dry run."""

    condition: OfConversion
    action: Action = "hold"


class NewReclassification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rule looks, as it is now, at what was first seen from `from` until before `to`."""

    rule: Id | RuleToTry
    since: Time = msgspec.field(name="from")
    until: Time = msgspec.field(name="to")
    dry_run: bool = True


class ShownReclassification(msgspec.Struct, frozen=True, kw_only=True):
    """A reclassification: how far it is, what became of conversions, and by how much accounts
    changed, all members' and networks' of a role together; in a dry run, would have.
    """

    id: str
    rule: str | None
    rule_version: int | None
    condition: Condition
    action: Action
    since: dt.datetime = msgspec.field(name="from")
    until: dt.datetime = msgspec.field(name="to")
    dry_run: bool
    state: State
    looked_at: int
    flagged: int
    held: int
    rejected: int
    released: int
    difference: list[Change]
    requested_by: str
    created_at: dt.datetime
    finished_at: dt.datetime | None


_new = msgspec.json.Decoder(NewReclassification)


async def create(call: Call) -> web.Response:
    """Have it looked at; the answer says where to see how far that is."""
    body = await read(call)
    wanted = problem.decode(_new, body)
    at = moment(call.app.now_ms())
    until = min(wanted.until, at)
    if wanted.since >= until:
        raise _wrong("from is before to, and before now.", "/from")
    own = call.app.new_id("reclassification")

    async def work(db: Db) -> ShownReclassification:
        new = await _chosen(call, db, wanted, own, until)
        made = await stored.add(db, call.principal.program_id, new, call.principal.subject, at)
        shown = _shown(made)
        await auditing.record(call, db, "reclassification.create", made.id, after=shown)
        return shown

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """Reclassifications, the newest first."""
    search = problem.decode_query(lists.Window, call.query)
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("reclassification"),
            limit=search.limit + 1,
        )
    return problem.reply(lists.page([_shown(one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One reclassification."""
    named = call.principal.program_id, call.params["reclassification_id"]
    async with call.app.connection() as db:
        return problem.reply(_shown(await stored.get(db, *named)))


async def _chosen(
    call: Call, db: Db, wanted: NewReclassification, own: str, until: dt.datetime
) -> New:
    """InvalidRequest for what can only be tried; FraudRuleNotFound."""
    said: Stored | RuleToTry
    if isinstance(wanted.rule, str):
        said = await rules.get(db, call.principal.program_id, wanted.rule)
        if not isinstance(said.condition, OfConversion):
            raise _wrong("A withdrawal is looked at once, when it is asked for.", "/rule")
        if said.is_shadow and not wanted.dry_run:
            raise _wrong("A rule in shadow mode changes nothing: it can only be tried.", "/rule")
    else:
        said = wanted.rule
        fraud_rules.check(said.condition)
        if not wanted.dry_run:
            raise _wrong("A rule that is not stored can only be tried.", "/rule")
    return New(
        id=own,
        rule=said if isinstance(said, Stored) else None,
        condition=said.condition,
        action=said.action,
        since=wanted.since,
        until=until,
        is_dry_run=wanted.dry_run,
    )


def _wrong(detail: str, pointer: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])


def _shown(one: Reclassification) -> ShownReclassification:
    return ShownReclassification(
        id=one.id,
        rule=one.rule_id,
        rule_version=one.rule_version,
        condition=one.condition,
        action=one.action,
        since=one.since,
        until=one.until,
        dry_run=one.is_dry_run,
        state=one.state,
        looked_at=one.looked_at,
        flagged=one.flagged,
        held=one.held,
        rejected=one.rejected,
        released=one.released,
        difference=one.difference,
        requested_by=one.requested_by,
        created_at=one.created_at,
        finished_at=one.finished_at,
    )


PATH: Final = "/v1/admin/reclassifications"

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=PATH,
        handler=create,
        name="create_reclassification",
        summary="Have a fraud rule look at conversions again, or try what that would come to",
        scope="conversions:write",
        body=NewReclassification,
        reply=ShownReclassification,
        status=202,
        errors=(errors.FraudRuleNotFound, errors.ProgramNotFound),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path=PATH,
        handler=list_all,
        name="list_reclassifications",
        summary="List reclassifications, the newest first",
        scope="conversions:read",
        query=lists.Window,
        reply=lists.Page[ShownReclassification],
    ),
    Route(
        method="GET",
        path=f"{PATH}/{{reclassification_id}}",
        handler=get,
        name="get_reclassification",
        summary="Read how far a reclassification is, and what it came to",
        scope="conversions:read",
        reply=ShownReclassification,
        errors=(errors.ReclassificationNotFound,),
    ),
)
