"""`/v1/links`: what the redirector follows."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Final

import bcrypt
import msgspec
from aiohttp import web
from msgspec import UnsetType

from core import base32, errors, links
from core.links import LinkConfig, Ref, Slug
from core.settings import Settings
from db import links as stored
from db import offers
from db.links import Draft, Publication
from db.pg import Db
from gateway import answers, auditing, bulk, lists, patches
from gateway.app import App, Call, read, read_as
from web import problem
from web.routing import Route

log = logging.getLogger(__name__)

PASSWORD_ROUNDS: Final = 10
SLUG_LENGTH: Final = 7


class Link(LinkConfig, frozen=True, kw_only=True, omit_defaults=False):
    """A link as it is shown: what was sent, and what we made of it."""

    id: str
    url: str
    qr_url: str
    has_password: bool
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime


class UpsertLink(LinkConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link by the caller's own id; without a slug it keeps the one it has."""

    external_id: Ref


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which links are asked for."""

    external_id: Ref | None = None
    slug: Slug | None = None


LinkPatch = patches.patch_of(LinkConfig)
_config = msgspec.json.Decoder(LinkConfig)
_upsert = msgspec.json.Decoder(UpsertLink)
_patch = msgspec.json.Decoder(LinkPatch)


async def create(call: Call) -> web.Response:
    """Store and publish a link."""
    body = await read(call)
    config = checked(call.app, problem.decode(_config, body))
    program_id = call.principal.program_id
    draft = Draft(call.app.new_id("link"), config, await _hash(config.password))
    made: list[stored.Link] = []

    async def work(db: Db) -> Link:
        made.append(await stored.add(db, program_id, draft, random_slug))
        await auditing.record(call, db, "link.create", draft.id, after=made[0].config)
        return shown(call.app.settings, made[0])

    answer = await answers.once(call, body, work)
    await publish(call.app, map(stored.publication, made))
    return answer


async def upsert(call: Call) -> web.Response:
    """Store a link, or replace the one with this external id."""
    given = await read_as(call, _upsert)
    config = checked(call.app, LinkConfig(**msgspec.structs.asdict(given)))
    program_id = call.principal.program_id
    draft = Draft(call.app.new_id("link"), config, await _hash(config.password))
    async with call.app.transaction() as db:
        link, news = await stored.upsert(db, program_id, draft, random_slug)
        await auditing.record(call, db, "link.upsert", link.id, after=link.config)
    await publish(call.app, news)
    return problem.reply(shown(call.app.settings, link))


async def create_many(call: Call) -> web.Response:
    """Store and publish up to 1,000 links; the answers stand in the order of the items."""
    body = await read(call)
    app, program_id = call.app, call.principal.program_id

    def draft(config: LinkConfig) -> Draft:
        if config.password:
            raise errors.InvalidRequest("A password is set one link at a time.")
        return Draft(app.new_id("link"), checked(app, config), None)

    drafts = await asyncio.to_thread(bulk.drafts, body, _config, draft)
    made: list[stored.Link] = []

    async def work(db: Db) -> bulk.Answers[Link]:
        good = [one for one in drafts if isinstance(one, Draft)]
        added = await stored.add_many(db, program_id, good, random_slug)
        made.extend(one for one in added.values() if isinstance(one, stored.Link))
        ids = [link.id for link in made]
        await auditing.record(call, db, "link.create_many", "", after={"ids": ids})
        return bulk.Answers([bulk.answer(_made(app.settings, one, added)) for one in drafts])

    answer = await answers.once(call, body, work)
    await publish(app, await asyncio.to_thread(lambda: list(map(stored.publication, made))))
    return answer


async def list_all(call: Call) -> web.Response:
    """The program's links, oldest first."""
    search = problem.decode_query(Search, call.query)
    program_id, after = call.principal.program_id, search.after("link")
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            program_id,
            after=after,
            limit=search.limit + 1,
            external_id=search.external_id,
            slug=search.slug,
        )
    return problem.reply(lists.page([shown(call.app.settings, one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One link."""
    async with call.app.connection() as db:
        link = await stored.get(db, call.principal.program_id, call.params["link_id"])
    return problem.reply(shown(call.app.settings, link))


async def change(call: Call) -> web.Response:
    """Change the given fields; null puts one back to its default."""
    wanted = patches.changes(await read_as(call, _patch))
    new_hash = await _hash(wanted.get("password"))
    async with call.app.transaction() as db:
        present = await stored.lock(db, call.principal.program_id, call.params["link_id"])
        await _refuse_offers(call, db)
        config = msgspec.structs.replace(present.config, **wanted)
        config = msgspec.structs.replace(config, slug=config.slug or present.slug)
        kept = new_hash if "password" in wanted else present.password_hash
        link, news = await stored.change(db, present, checked(call.app, config), kept)
        after = msgspec.to_builtins(link.config)
        # The config never has it: that it was set is all that is said.
        after |= {"password": auditing.HIDDEN} if "password" in wanted else {}
        await auditing.record(call, db, "link.change", link.id, present.config, after)
    await publish(call.app, news)
    return problem.reply(shown(call.app.settings, link))


async def delete(call: Call) -> web.Response:
    """Delete a link; its clicks stay."""
    async with call.app.transaction() as db:
        await _refuse_offers(call, db)
        gone = await stored.delete(db, call.principal.program_id, call.params["link_id"])
        slug = {"slug": gone.slug}
        await auditing.record(call, db, "link.delete", call.params["link_id"], before=slug)
    await publish(call.app, [gone])
    return web.Response(status=204)


async def _refuse_offers(call: Call, db: Db) -> None:
    """LinkInUse for a link that an offer's clicks are made on."""
    if await offers.of_link(db, call.principal.program_id, call.params["link_id"]) is not None:
        raise errors.LinkInUse


def checked(app: App, config: LinkConfig) -> LinkConfig:
    """The config in stored form; InvalidDestination, InvalidRequest."""
    return links.validate(config, app.own_hosts, app.reachable)


def random_slug() -> str:
    """A slug of our own making: 35 random bits, without letters that look alike."""
    return base32.encode(int.from_bytes(os.urandom(5), "big"), SLUG_LENGTH + 1)[1:]


def shown(settings: Settings, link: stored.Link) -> Link:
    """The link as the API shows it."""
    url = f"{settings.public_redirector_url}/r/{link.slug}"
    return Link(
        **msgspec.structs.asdict(link.config),
        id=link.id,
        url=url,
        qr_url=f"{url}.svg",
        has_password=link.password_hash is not None,
        version=link.version,
        created_at=link.created_at,
        updated_at=link.updated_at,
    )


async def publish(app: App, publications: Iterable[Publication]) -> None:
    """Put links before the redirectors now; the outbox does it again should this fail."""
    try:
        await stored.publish(app.redis, publications)
    except errors.StampgateError as error:
        log.warning("links are left to the outbox: %s", error.code)


def _made(
    settings: Settings,
    one: Draft | errors.StampgateError,
    added: Mapping[str, stored.Link | errors.Conflict],
) -> Link | errors.StampgateError:
    made = added[one.id] if isinstance(one, Draft) else one
    return shown(settings, made) if isinstance(made, stored.Link) else made


async def _hash(password: str | UnsetType | None) -> str | None:
    """The bcrypt hash, made off the loop because it is slow on purpose."""
    if not password:
        return None
    salt = bcrypt.gensalt(PASSWORD_ROUNDS)
    return (await asyncio.to_thread(bcrypt.hashpw, password.encode(), salt)).decode()


LINK_ERRORS: Final = (errors.InvalidDestination, errors.SlugTaken, errors.ExternalIdTaken)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/links",
        handler=create,
        name="create_link",
        summary="Store and publish a link",
        scope="links:write",
        body=LinkConfig,
        reply=Link,
        status=201,
        errors=(*LINK_ERRORS, errors.ProgramNotFound),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="PUT",
        path="/v1/links/upsert",
        handler=upsert,
        name="upsert_link",
        summary="Store or replace a link by external id",
        scope="links:write",
        body=UpsertLink,
        reply=Link,
        errors=(errors.InvalidDestination, errors.SlugTaken, errors.ProgramNotFound),
    ),
    Route(
        method="POST",
        path="/v1/links/bulk",
        handler=create_many,
        name="create_links",
        summary="Store up to 1,000 links, with an answer for each",
        scope="links:write",
        body=bulk.Items[LinkConfig],
        reply=bulk.Answers[Link],
        errors=(errors.ProgramNotFound,),
        body_limit=bulk.BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/links",
        handler=list_all,
        name="list_links",
        summary="List links, oldest first",
        scope="links:read",
        query=Search,
        reply=lists.Page[Link],
    ),
    Route(
        method="GET",
        path="/v1/links/{link_id}",
        handler=get,
        name="get_link",
        summary="Read a link",
        scope="links:read",
        reply=Link,
        errors=(errors.LinkNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/links/{link_id}",
        handler=change,
        name="change_link",
        summary="Change the given fields of a link",
        scope="links:write",
        body=LinkPatch,
        reply=Link,
        errors=(errors.LinkNotFound, errors.LinkInUse, *LINK_ERRORS),
    ),
    Route(
        method="DELETE",
        path="/v1/links/{link_id}",
        handler=delete,
        name="delete_link",
        summary="Delete a link; its clicks stay",
        scope="links:write",
        status=204,
        errors=(errors.LinkNotFound, errors.LinkInUse),
    ),
)
