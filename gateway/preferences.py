"""`/v1/me/notification-preferences`: what members want to hear, by which channel, and when not."""

from __future__ import annotations

from typing import Annotated, get_args

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors
from core.preferences import QuietHours, Unwanted
from core.templates import TOPICS, Channel, Topic
from db import preferences
from db.pg import Db
from db.preferences import Said
from gateway import auditing
from gateway.app import Call, read_as
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that shall not come, and when nothing shall; security messages come all the same."""

    unwanted: Annotated[list[Unwanted], Meta(max_length=64)]
    quiet_hours: QuietHours | None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, and what there is to choose from. The hours are of `time_zone`."""

    unwanted: list[Said]
    quiet_hours: QuietHours | None
    time_zone: str
    topics: list[Topic]
    channels: list[Channel]


_wanted = msgspec.json.Decoder(Wanted)


async def get(call: Call) -> web.Response:
    """What the member wants."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        return problem.reply(await _shown(db, program_id, member_id))


async def put(call: Call) -> web.Response:
    """Put this in the place of all that was said, also by a link or a provider."""
    wanted = await read_as(call, _wanted)
    _check(wanted)
    program_id, member_id = member_of(call)
    async with call.app.transaction() as db:
        await preferences.put(db, program_id, member_id, wanted.unwanted, wanted.quiet_hours)
        await auditing.record(call, db, "notification_preferences.put", member_id, after=wanted)
        shown = await _shown(db, program_id, member_id)
    return problem.reply(shown)


def _check(wanted: Wanted) -> None:
    """InvalidRequest for what could not be kept."""
    for number, one in enumerate(wanted.unwanted):
        if one.topic not in TOPICS:
            raise _bad("Messages of security are always sent.", f"/unwanted/{number}/topic")
    hours = wanted.quiet_hours
    if hours is not None and hours.begins == hours.ends:
        raise _bad("They begin and end at the same time.", "/quiet_hours/ends")


def _bad(detail: str, pointer: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])


async def _shown(db: Db, program_id: str, member_id: str) -> Shown:
    found = await preferences.get(db, program_id, member_id)
    return Shown(
        unwanted=found.unwanted,
        quiet_hours=found.quiet_hours,
        time_zone=found.time_zone,
        topics=list(TOPICS),
        channels=list(get_args(Channel)),
    )


PATH = "/v1/me/notification-preferences"

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_notification_preferences",
        summary="What the member who asks wants to hear, by which channel, and when not",
        scope=OWN,
        reply=Shown,
        errors=(errors.ProgramNotFound,),
    ),
    Route(
        method="PUT",
        path=PATH,
        handler=put,
        name="put_notification_preferences",
        summary="Say anew all that shall not come, and when nothing shall",
        scope=OWN,
        body=Wanted,
        reply=Shown,
        errors=(errors.MemberNotFound, errors.ProgramNotFound),
    ),
)
