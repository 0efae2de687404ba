"""`/v1/admin/fraud/rules`: what a program looks for in conversions, and what follows."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, fraud_rules
from core.fraud import Action
from core.fraud_rules import Condition
from core.links import Line
from db import fraud_rules as stored
from db.fraud_rules import Hits, New, Stored
from db.pg import Db
from gateway import answers, auditing
from gateway.app import Call, read, read_as
from gateway.lookups import moment
from web import problem
from web.routing import Route


class FraudRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule looks at, and what follows when it hits. In shadow mode hits are only counted."""

    name: Annotated[Line, Meta(min_length=1)]
    condition: Condition
    action: Action = "hold"
    is_shadow: bool = False


class ShownFraudRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule. `hits` and `shadow_hits` are how many conversions it has hit as it is now."""

    id: str
    version: int
    name: str
    condition: Condition
    action: Action
    is_shadow: bool
    hits: int
    shadow_hits: int
    created_at: dt.datetime
    updated_at: dt.datetime


class FraudRules(msgspec.Struct, frozen=True):
    """All rules of the program, the oldest first."""

    data: list[ShownFraudRule]


_rule = msgspec.json.Decoder(FraudRule)


async def create(call: Call) -> web.Response:
    """Store a rule; from the next report on it is looked at."""
    body = await read(call)
    new = _new(problem.decode(_rule, body))
    program_id, rule_id = call.principal.program_id, call.app.new_id("fraud_rule")

    async def work(db: Db) -> ShownFraudRule:
        made = await stored.add(db, program_id, rule_id, new, *_who(call))
        await auditing.record(call, db, "fraud_rule.create", made.id, after=new)
        return _shown(made, Hits())

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """All rules."""
    program_id = call.principal.program_id
    async with call.app.connection() as db:
        found = await stored.current(db, program_id)
        counts = await stored.count_hits(db, program_id, found)
    return problem.reply(FraudRules([_shown(one, counts.get(one.id, Hits())) for one in found]))


async def get(call: Call) -> web.Response:
    """One rule."""
    async with call.app.connection() as db:
        found = await stored.get(db, *_named(call))
        return problem.reply(await _counted(call, db, found))


async def put(call: Call) -> web.Response:
    """Replace what a rule says; hits keep the version that made them."""
    new = _new(await read_as(call, _rule))
    program_id, rule_id = _named(call)
    async with call.app.transaction() as db:
        before = await stored.lock(db, program_id, rule_id)
        after = await stored.put(db, program_id, before, new, *_who(call))
        await auditing.record(call, db, "fraud_rule.put", rule_id, before, after)
        shown = await _counted(call, db, after)
    return problem.reply(shown)


async def delete(call: Call) -> web.Response:
    """Have a rule hit nothing more; its cases stay."""
    program_id, rule_id = _named(call)
    async with call.app.transaction() as db:
        before = await stored.lock(db, program_id, rule_id)
        await stored.delete(db, program_id, rule_id, moment(call.app.now_ms()))
        await auditing.record(call, db, "fraud_rule.delete", rule_id, before=before)
    return web.Response(status=204)


async def _counted(call: Call, db: Db, found: Stored) -> ShownFraudRule:
    counts = await stored.count_hits(db, call.principal.program_id, [found])
    return _shown(found, counts.get(found.id, Hits()))


def _new(said: FraudRule) -> New:
    fraud_rules.check(said.condition)
    return New(**msgspec.structs.asdict(said))


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["rule_id"]


def _who(call: Call) -> tuple[str, dt.datetime]:
    return call.principal.subject, moment(call.app.now_ms())


def _shown(one: Stored, counted: Hits) -> ShownFraudRule:
    return ShownFraudRule(
        **msgspec.structs.asdict(one), hits=counted.loud, shadow_hits=counted.in_shadow
    )


PATH: Final = "/v1/admin/fraud/rules/{rule_id}"
_MISSING: Final = (errors.FraudRuleNotFound,)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/admin/fraud/rules",
        handler=create,
        name="create_fraud_rule",
        summary="Store a fraud rule",
        scope="conversions:write",
        body=FraudRule,
        reply=ShownFraudRule,
        status=201,
        errors=(errors.ProgramNotFound, errors.Conflict),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/admin/fraud/rules",
        handler=list_all,
        name="list_fraud_rules",
        summary="List the program's fraud rules, and how many conversions they have hit",
        scope="conversions:read",
        reply=FraudRules,
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_fraud_rule",
        summary="Read a fraud rule",
        scope="conversions:read",
        reply=ShownFraudRule,
        errors=_MISSING,
    ),
    Route(
        method="PUT",
        path=PATH,
        handler=put,
        name="put_fraud_rule",
        summary="Replace what a fraud rule says",
        scope="conversions:write",
        body=FraudRule,
        reply=ShownFraudRule,
        errors=_MISSING,
    ),
    Route(
        method="DELETE",
        path=PATH,
        handler=delete,
        name="delete_fraud_rule",
        summary="Have a fraud rule hit nothing more; its cases stay",
        scope="conversions:write",
        status=204,
        errors=_MISSING,
    ),
)
