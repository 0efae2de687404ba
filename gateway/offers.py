"""`/v1/offers`: what merchants give, for members to find and for operators to keep."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, offers
from core.links import Ref
from core.offers import Kind, OfferConfig, OfferFields, State
from db import offer_lists
from db import offers as stored
from db.links import Publication
from db.offer_lists import Wanted
from db.offers import Draft
from db.pg import Db
from gateway import answers, auditing, links, lists, patches
from gateway.app import App, Call, read, read_as
from gateway.lookups import moment
from web import problem
from web.routing import Route

#: Members see what is active.
READ: Final = "me offers:read"
WRITE: Final = "offers:write"
WRITTEN: Final = (
    *(errors.InvalidDestination, errors.ExternalIdTaken, errors.SlugTaken),
    *(errors.MerchantNotFound, errors.CategoryNotFound, errors.NetworkNotFound),
)

HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+(:[0-9]{1,5})?$(?!\n)", max_length=260)]


class Offer(OfferFields, frozen=True, kw_only=True, omit_defaults=False):
    """An offer as it is shown. What is null to members is the operators' own, and the code, which
    they get for a click.
    """

    id: str
    merchant_name: str
    merchant_logo_url: str | None
    approval_days: int | None
    is_active: bool
    state: State
    coupon_code: str | None
    external_id: str | None
    network_id: str | None
    network_campaign: str | None
    destination: str | None
    link_id: str | None
    attribution_window_days: int | None
    click_to_conversion_min_s: int | None
    click_to_conversion_max_s: int | None
    created_at: dt.datetime
    updated_at: dt.datetime


class UpsertOffer(OfferConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An offer by the caller's own id; without a state it keeps the one it has."""

    external_id: Ref


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which offers are asked for. A category has those below it with it; the words of `q` are
    looked for in title, merchant and code.
    """

    merchant_id: Ref | None = None
    category_id: Ref | None = None
    kind: Kind | None = None
    state: State | None = None
    external_id: Ref | None = None
    is_active: bool | None = None
    q: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class OfHost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host of the page that somebody looks at."""

    host: HostName


class Offers(msgspec.Struct, frozen=True):
    """Offers by rank."""

    data: list[Offer]


OfferPatch = patches.patch_of(OfferConfig)
_new = msgspec.json.Decoder(OfferConfig)
_upsert = msgspec.json.Decoder(UpsertOffer)
_patch = msgspec.json.Decoder(OfferPatch)
# What members are not told.
_OWN: Final = (
    *("coupon_code", "external_id", "network_id", "network_campaign", "destination", "link_id"),
    *("attribution_window_days", "click_to_conversion_min_s", "click_to_conversion_max_s"),
)


async def create(call: Call) -> web.Response:
    """Store an offer, and the link of its clicks."""
    body = await read(call)
    app, program_id = call.app, call.principal.program_id
    draft = drafted(app, problem.decode(_new, body))
    news: list[Publication] = []

    async def work(db: Db) -> Offer:
        news.extend(await stored.add(db, program_id, [draft], links.random_slug, app.reachable))
        await auditing.record(call, db, "offer.create", draft.id, after=draft.config)
        return _shown(call, await stored.get(db, program_id, draft.id))

    answer = await answers.once(call, body, work)
    await publish(call, news)
    return answer


async def upsert(call: Call) -> web.Response:
    """Store an offer, or replace the one with this external id."""
    given = await read_as(call, _upsert)
    draft = drafted(call.app, OfferConfig(**msgspec.structs.asdict(given)))
    try:
        found, news = await _save(call, draft, given.external_id)
    except errors.ExternalIdTaken:
        # Another request has stored one with this external id meanwhile.
        found, news = await _save(call, draft, given.external_id)
    await publish(call, news)
    return problem.reply(_shown(call, found))


async def list_all(call: Call) -> web.Response:
    """Offers, oldest first."""
    search = problem.decode_query(Search, call.query)
    program_id, after = call.principal.program_id, search.after("offer")
    wanted = Wanted(
        merchant_id=search.merchant_id,
        category_id=search.category_id,
        kind=search.kind,
        state=search.state,
        external_id=search.external_id,
        is_active=True if _is_member(call) else search.is_active,
        text=search.q,
    )
    limit, now = search.limit + 1, moment(call.app.now_ms())

    async def page(db: Db) -> list[stored.Offer]:
        return await offer_lists.page(db, program_id, wanted, now=now, after=after, limit=limit)

    if after or search.q is not None or search.external_id is not None:
        async with call.app.connection() as db:
            found = await page(db)
    else:
        name = msgspec.json.encode((limit, wanted)).decode()
        found = await call.app.catalogue.offers(program_id, name, page)
    return problem.reply(lists.page([_shown(call, one) for one in found], search.limit))


async def list_hot(call: Call) -> web.Response:
    """The hot offers that are active now."""
    program_id, now_ms = call.principal.program_id, call.app.now_ms()

    async def hot(db: Db) -> list[stored.Offer]:
        return await offer_lists.hot(db, program_id, moment(now_ms))

    found = await call.app.catalogue.offers(program_id, "hot", hot)
    return _reply(call, [one for one in found if one.is_active(now_ms)])


async def list_of_host(call: Call) -> web.Response:
    """The active offers of the shop whose page this is."""
    host = problem.decode_query(OfHost, call.query).host
    now = moment(call.app.now_ms())
    async with call.app.connection() as db:
        found = await offer_lists.of_host(db, call.principal.program_id, host, now)
    return _reply(call, found)


async def get(call: Call) -> web.Response:
    """One offer."""
    async with call.app.connection() as db:
        found = await stored.get(db, call.principal.program_id, call.params["offer_id"])
    if _is_member(call) and not found.is_active(call.app.now_ms()):
        raise errors.OfferNotFound
    return problem.reply(_shown(call, found))


async def change(call: Call) -> web.Response:
    """Change the given fields; null puts one back to its default."""
    wanted = patches.changes(await read_as(call, _patch))
    app, program_id, offer_id = call.app, call.principal.program_id, call.params["offer_id"]
    async with app.transaction() as db:
        before = await stored.lock(db, program_id, offer_id, wanted.get("merchant_id"))
        config = checked(app, msgspec.structs.replace(before.config, **wanted))
        news = await stored.change(
            db, program_id, {offer_id: config}, {offer_id: before}, app.reachable
        )
        after = await stored.get(db, program_id, offer_id)
        await auditing.record(call, db, "offer.change", offer_id, before.config, after.config)
    await publish(call, news)
    return problem.reply(_shown(call, after))


async def delete(call: Call) -> web.Response:
    """Delete a draft."""
    program_id, offer_id = call.principal.program_id, call.params["offer_id"]
    async with call.app.transaction() as db:
        gone, news = await stored.delete(db, program_id, offer_id)
        await auditing.record(call, db, "offer.delete", offer_id, before=gone.config)
    await publish(call, [news])
    return web.Response(status=204)


async def publish(call: Call, news: Sequence[Publication]) -> None:
    """Put changed offers before redirectors and processes now; raises nothing for servers away."""
    await call.app.catalogue.announce(call.principal.program_id)
    await links.publish(call.app, news)


def drafted(app: App, config: OfferConfig) -> Draft:
    """A draft of an offer as it was sent; raises as `checked`."""
    return Draft(app.new_id("offer"), app.new_id("link"), checked(app, config))


def checked(app: App, config: OfferConfig) -> OfferConfig:
    """The config in stored form; InvalidDestination, InvalidRequest."""
    return offers.validate(config, app.own_hosts, app.reachable)


async def _save(
    call: Call, draft: Draft, external_id: str
) -> tuple[stored.Offer, list[Publication]]:
    program_id = call.principal.program_id
    async with call.app.transaction() as db:
        saved = await stored.save(db, program_id, [draft], links.random_slug, call.app.reachable)
        present = await stored.lock_by_external_id(db, program_id, [external_id])
        found = present[external_id]
        await auditing.record(call, db, "offer.upsert", found.id, after=draft.config)
    return found, saved.publications


def _reply(call: Call, found: Sequence[stored.Offer]) -> web.Response:
    return problem.reply(Offers([_shown(call, one) for one in found]))


def _is_member(call: Call) -> bool:
    return call.principal.role == "member"


def _shown(call: Call, offer: stored.Offer) -> Offer:
    """The offer as the caller may see it."""
    values = msgspec.structs.asdict(offer.config)
    if _is_member(call):
        values |= dict.fromkeys(_OWN)
    return Offer(
        **{"link_id": offer.link_id, **values},
        id=offer.id,
        merchant_name=offer.merchant_name,
        merchant_logo_url=offer.merchant_logo_url,
        approval_days=offer.approval_days,
        is_active=offer.is_active(call.app.now_ms()),
        created_at=offer.created_at,
        updated_at=offer.updated_at,
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/offers",
        handler=create,
        name="create_offer",
        summary="Store an offer",
        scope=WRITE,
        body=OfferConfig,
        reply=Offer,
        status=201,
        errors=(*WRITTEN, errors.ProgramNotFound),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="PUT",
        path="/v1/offers/upsert",
        handler=upsert,
        name="upsert_offer",
        summary="Store an offer, or replace the one with this external id",
        scope=WRITE,
        body=UpsertOffer,
        reply=Offer,
        errors=(*WRITTEN, errors.OfferInUse, errors.ProgramNotFound),
    ),
    Route(
        method="GET",
        path="/v1/offers",
        handler=list_all,
        name="list_offers",
        summary="List or search offers, oldest first",
        scope=READ,
        query=Search,
        reply=lists.Page[Offer],
    ),
    Route(
        method="GET",
        path="/v1/offers/hot",
        handler=list_hot,
        name="list_hot_offers",
        summary="The hot offers that are active now, by rank",
        scope=READ,
        reply=Offers,
    ),
    Route(
        method="GET",
        path="/v1/offers/by-domain",
        handler=list_of_host,
        name="list_offers_of_host",
        summary="The active offers of the shop that has this host, by rank",
        scope=READ,
        query=OfHost,
        reply=Offers,
    ),
    Route(
        method="GET",
        path="/v1/offers/{offer_id}",
        handler=get,
        name="get_offer",
        summary="Read an offer",
        scope=READ,
        reply=Offer,
        errors=(errors.OfferNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/offers/{offer_id}",
        handler=change,
        name="change_offer",
        summary="Change the given fields of an offer",
        scope=WRITE,
        body=OfferPatch,
        reply=Offer,
        errors=(*WRITTEN, errors.OfferNotFound, errors.OfferInUse),
    ),
    Route(
        method="DELETE",
        path="/v1/offers/{offer_id}",
        handler=delete,
        name="delete_offer",
        summary="Delete a draft of an offer",
        scope=WRITE,
        status=204,
        errors=(errors.OfferNotFound, errors.OfferInUse),
    ),
)
