"""`/v1/notifications` and `/v1/notices`: which messages were sent to whom, what members were told
of their money, by which channels, and what became of it.
"""

from __future__ import annotations

from aiohttp import web

from core import errors
from core.links import Line
from core.notices import State as NoticeState
from core.templates import Channel
from db import notices, notifications
from db.notices import NoticeRecord, NoticeWithMessages
from db.notifications import Notification, State, Wanted
from gateway import auditing, lists
from gateway.app import Call
from web import problem
from web.routing import Route


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which notifications are asked for."""

    state: State | None = None
    channel: Channel | None = None
    template: Line | None = None
    recipient_id: Line | None = None


class NoticeSearch(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which notices are asked for."""

    state: NoticeState | None = None
    template: Line | None = None
    member_id: Line | None = None


async def list_all(call: Call) -> web.Response:
    """The program's notifications, the newest first."""
    search = problem.decode_query(Search, call.query)
    program_id, before = call.principal.program_id, search.after("notification")
    wanted = Wanted(
        state=search.state,
        channel=search.channel,
        template=search.template,
        recipient_id=search.recipient_id,
    )
    async with call.app.connection() as db:
        found = await notifications.page(
            db, program_id, before=before, limit=search.limit + 1, wanted=wanted
        )
    return problem.reply(lists.page(found, search.limit))


async def get(call: Call) -> web.Response:
    """One notification."""
    async with call.app.connection() as db:
        return problem.reply(await notifications.get(db, *_named(call)))


async def resend(call: Call) -> web.Response:
    """Send again what ended without having certainly arrived."""
    async with call.app.transaction() as db:
        notification = await notifications.resend(db, *_named(call))
        await auditing.record(call, db, "notification.resend", notification.id)
    return problem.reply(notification, call.route.status)


async def list_notices(call: Call) -> web.Response:
    """What the program's members were to be told, the newest first."""
    search = problem.decode_query(NoticeSearch, call.query)
    program_id, before = call.principal.program_id, search.after("notice")
    wanted = notices.Wanted(
        state=search.state, template=search.template, member_id=search.member_id
    )
    async with call.app.connection() as db:
        found = await notices.page(
            db, program_id, before=before, limit=search.limit + 1, wanted=wanted
        )
    return problem.reply(lists.page(found, search.limit))


async def get_notice(call: Call) -> web.Response:
    """One notice, with its messages."""
    program_id, notice_id = call.principal.program_id, call.params["notice_id"]
    async with call.app.connection() as db:
        return problem.reply(await notices.get(db, program_id, notice_id))


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["notification_id"]


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/notifications",
        handler=list_all,
        name="list_notifications",
        summary="List notifications, the newest first; not what they said",
        scope="members:read",
        query=Search,
        reply=lists.Page[Notification],
    ),
    Route(
        method="GET",
        path="/v1/notifications/{notification_id}",
        handler=get,
        name="get_notification",
        summary="Read what became of a notification",
        scope="members:read",
        reply=Notification,
        errors=(errors.NotificationNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/notifications/{notification_id}/resend",
        handler=resend,
        name="resend_notification",
        summary="Send again what was refused, was given up, or may not have arrived",
        scope="members:write",
        reply=Notification,
        status=202,
        errors=(errors.NotificationNotFound, errors.NotResendable),
        repeats="What waits or was sent is not sent again.",
    ),
    Route(
        method="GET",
        path="/v1/notices",
        handler=list_notices,
        name="list_notices",
        summary="List what members were to be told of their money, the newest first",
        scope="members:read",
        query=NoticeSearch,
        reply=lists.Page[NoticeRecord],
    ),
    Route(
        method="GET",
        path="/v1/notices/{notice_id}",
        handler=get_notice,
        name="get_notice",
        summary="Read by which channels a member was told of something, and what became of it",
        scope="members:read",
        reply=NoticeWithMessages,
        errors=(errors.NoticeNotFound,),
    ),
)
