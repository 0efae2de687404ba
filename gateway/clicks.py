"""`/v1/clicks`: clicks that are made beforehand, and what became of clicks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import clickid, errors, macros
from core.clicks import VALUE_LENGTH_MAX, Premint
from core.links import Ref, Slug, Time
from db import clicks, links, members
from db.clicks import Click
from db.links import Link
from db.pg import Db
from gateway import lists
from gateway.app import App, Call, read_as
from web import problem
from web.routing import Route

DAY: Final = dt.timedelta(days=1)
RANGE_MAX: Final = dt.timedelta(days=31)

# What `_storable` keeps of a visitor's own parameters: no control characters, a bounded length.
Value = Annotated[
    str, Meta(min_length=1, max_length=VALUE_LENGTH_MAX, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")
]


class NewClick(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A click to be made: on a link by `link_id` or `slug`, for a member.

    `parameters` are what the link's own query may carry: sub1 to sub10, source, external_id, ad
    ids and utm parameters.
    """

    link_id: Ref | None = None
    slug: Slug | None = None
    member: Ref | None = None
    parameters: Annotated[dict[str, Value], Meta(max_length=32)] = {}


class MintedClick(msgspec.Struct, frozen=True, kw_only=True):
    """The click's id, and the address that its visit counts at, for as long as it waits."""

    click_id: str
    url: str
    expires_at: dt.datetime


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clicks of a link from `from` to before `to`, at most 31 days; absent: the last day."""

    link_id: Ref
    first: Time | None = msgspec.field(default=None, name="from")
    end: Time | None = msgspec.field(default=None, name="to")


_new = msgspec.json.Decoder(NewClick)


async def mint(call: Call) -> web.Response:
    """Make a click that its first visit records."""
    new = await read_as(call, _new)
    _check(new)
    app, program_id = call.app, call.principal.program_id
    async with app.connection() as db:
        link = await _link(db, program_id, new)
        if new.member is not None and not await members.exists(db, program_id, new.member):
            raise errors.MemberNotFound
    made = await make(app, link, new.member, new.parameters)
    return problem.reply(made, call.route.status)


async def make(
    app: App, link: Link, member_id: str | None, parameters: dict[str, str]
) -> MintedClick:
    """A click on a link, kept for its visit; raises as `Connection.run`."""
    premint = Premint(
        program_id=link.program_id,
        link_id=link.id,
        slug=link.slug,
        member_id=member_id,
        parameters=parameters or None,
    )
    click_id = await app.mint(link.program_id, link.id)
    ttl_s = app.settings.premint_ttl_s
    await clicks.premint(app.redis, click_id, premint, ttl_s)
    return MintedClick(
        click_id=click_id,
        url=f"{app.settings.public_redirector_url}/c/{click_id}",
        expires_at=clicks.minted_at(clickid.decode(click_id)) + dt.timedelta(seconds=ttl_s),
    )


def check_parameters(names: Iterable[str]) -> None:
    """That a link's own query may carry these; InvalidRequest."""
    for name in names:
        if name not in macros.QUERY_MACROS:
            detail = f"There is no parameter {name}."
            where = {"detail": detail, "pointer": "/parameters"}
            raise errors.InvalidRequest(detail, errors=[where])


async def get(call: Call) -> web.Response:
    """One click, also before PostgreSQL has it: the id proves itself."""
    app, program_id = call.app, call.principal.program_id
    try:
        click = clickid.verify(call.params["click_id"], program_id, app.ring.click)
    except errors.ForgedClickId:
        raise errors.ClickNotFound from None
    async with app.connection() as db:
        found = await clicks.stored(db, program_id, click)
    return problem.reply(found or await _unstored(call, click))


async def list_all(call: Call) -> web.Response:
    """The stored clicks of a link, the latest first."""
    search = problem.decode_query(Search, call.query)
    program_id = call.principal.program_id
    first, end = _range(search, dt.datetime.now(dt.UTC))
    before = _before(call, search.cursor) if search.cursor else None
    async with call.app.connection() as db:
        await links.get(db, program_id, search.link_id)
        found = await clicks.page(
            db,
            program_id,
            search.link_id,
            first=first,
            end=end,
            before=before,
            limit=search.limit + 1,
        )
    return problem.reply(lists.page(found, search.limit))


async def _unstored(call: Call, click: clickid.ClickId) -> Click:
    """What is known of a click that PostgreSQL does not have, or not yet."""
    minted = await clicks.minted(call.app.redis, click.text)
    if minted is None:
        return Click(id=click.text, state="in_flight", minted_at=clicks.minted_at(click))
    premint, is_visited = minted
    return Click(
        id=click.text,
        state="in_flight" if is_visited else "minted",
        minted_at=clicks.minted_at(click),
        link_id=premint.link_id,
        member_id=premint.member_id,
        parameters=premint.parameters,
    )


async def _link(db: Db, program_id: str, new: NewClick) -> Link:
    if new.link_id is not None:
        return await links.get(db, program_id, new.link_id)
    link = await links.by_slug(db, new.slug or "")
    if link is None or link.program_id != program_id:
        raise errors.LinkNotFound
    return link


def _check(new: NewClick) -> None:
    if (new.link_id is None) == (new.slug is None):
        raise errors.InvalidRequest("Name the link by link_id or by slug.")
    check_parameters(new.parameters)


def _range(search: Search, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The time asked for; InvalidRequest when it is too long or upside down."""
    try:
        end = (search.end or (now if search.first is None else search.first + DAY)).astimezone(
            dt.UTC
        )
        first = (search.first or end - DAY).astimezone(dt.UTC)
    except OverflowError:
        raise errors.InvalidRequest("The range is beyond the calendar.") from None
    if not dt.timedelta(0) < end - first <= RANGE_MAX:
        raise errors.InvalidRequest("The range must be above zero and at most 31 days.")
    return first, end


def _before(call: Call, cursor: str) -> clickid.ClickId:
    try:
        return clickid.verify(cursor, call.principal.program_id, call.app.ring.click)
    except errors.ForgedClickId:
        raise lists.bad_cursor() from None


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/clicks",
        handler=mint,
        name="mint_click",
        summary="Make a click that its first visit records",
        scope="clicks:write",
        body=NewClick,
        reply=MintedClick,
        status=201,
        errors=(errors.LinkNotFound, errors.MemberNotFound),
        repeats="A click that nobody visits counts nowhere.",
    ),
    Route(
        method="GET",
        path="/v1/clicks",
        handler=list_all,
        name="list_clicks",
        summary="List the stored clicks of a link, the latest first",
        scope="clicks:read",
        query=Search,
        reply=lists.Page[Click],
        errors=(errors.LinkNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/clicks/{click_id}",
        handler=get,
        name="get_click",
        summary="Read a click",
        scope="clicks:read",
        reply=Click,
        errors=(errors.ClickNotFound,),
    ),
)
