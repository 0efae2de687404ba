"""`/v1/merchants/import` and `/v1/offers/import`: the catalogue from tables, by external ids.

A file is stored whole in one transaction, or refused with its lines. The same file again changes
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from core import errors
from core import offers as rules
from core.merchants import MerchantConfig
from core.offers import OfferConfig
from db import categories, merchants
from db import offers as stored
from db.links import Publication
from db.offers import Draft
from db.pg import Db
from gateway import answers, auditing, links, offers, tables
from gateway.app import App, Call, read
from gateway.tables import Row
from web.routing import Route

DESCRIPTION: Final = "description_"
MERCHANT_COLUMNS: Final = frozenset(
    {"external_id", "name", "state", "hosts", "logo_url", "categories", "approval_days"}
    | {f"{DESCRIPTION}{language}" for language in ("en", "de", "es", "fr", "hi")}
)
# Columns of several that are one field, with the field's name for each.
PARTS: Final = {
    "cashback": (
        "cashback_basis",
        "cashback_rate_bp",
        "cashback_amount_minor",
        "cashback_currency",
    ),
    "member_cap": ("cap_period", "cap_amount_minor", "cap_count"),
}
OFFER_COLUMNS: Final = frozenset(
    {"external_id", "merchant", "title", "kind", "destination", "description", "terms", "state"}
    | {"coupon_code", "starts_at", "ends_at", "categories", "is_hot", "rank"}
    | {"network_id", "network_campaign", "attribution_window_days"}
    | {"click_to_conversion_min_s", "click_to_conversion_max_s"}
    | {name for names in PARTS.values() for name in names}
)
OFFER_NEEDED: Final = ("external_id", "merchant", "title", "kind", "destination")


class Imported(msgspec.Struct, frozen=True):
    """How many rows were new, were changed, and said what was there."""

    created: int
    changed: int
    unchanged: int


async def import_merchants(call: Call) -> web.Response:
    """Store the merchants of a CSV file, or replace those with their external ids."""
    body = await read(call)
    program_id = call.principal.program_id
    rows = await asyncio.to_thread(_merchants, body)

    async def work(db: Db) -> Imported:
        present = await merchants.ids_of(
            db, program_id, [row.item.external_id or "" for row in rows]
        )
        filed = await _filed(db, program_id, rows)
        drafts = {call.app.new_id("merchant"): config for config in filed}
        saved = await merchants.save(db, program_id, drafts)
        await stored.index(db, program_id, saved)
        created = len(rows) - len(present)
        done = Imported(created, len(saved) - created, len(rows) - len(saved))
        await auditing.record(call, db, "merchant.import", "", after=done)
        return done

    answer = await answers.once(call, body, work)
    await call.app.catalogue.announce(program_id)
    return answer


async def import_offers(call: Call) -> web.Response:
    """Store the offers of a CSV file, or replace those with their external ids."""
    body = await read(call)
    app, program_id = call.app, call.principal.program_id
    rows = await asyncio.to_thread(_offers, app, body)
    news: list[Publication] = []

    async def work(db: Db) -> Imported:
        placed = await _placed(db, program_id, rows)
        await _check_states(db, program_id, rows)
        drafts = [Draft(app.new_id("offer"), app.new_id("link"), config) for config in placed]
        saved = await stored.save(db, program_id, drafts, links.random_slug, app.reachable)
        news.extend(saved.publications)
        created, changed = len(saved.created), len(saved.changed)
        done = Imported(created, changed, len(rows) - created - changed)
        await auditing.record(call, db, "offer.import", "", after=done)
        return done

    answer = await answers.once(call, body, work)
    await offers.publish(call, news)
    return answer


def _merchants(body: bytes) -> list[Row[MerchantConfig]]:
    """The file's merchants, whose categories are slugs as yet."""

    def make(cells: dict[str, str]) -> MerchantConfig:
        values: dict[str, object] = {**_required(cells)}
        values["category_ids"] = str(values.pop("categories", "")).split()
        values["hosts"] = cells.get("hosts", "").split()
        values["descriptions"] = {
            name.removeprefix(DESCRIPTION): values.pop(name)
            for name in cells
            if name.startswith(DESCRIPTION)
        }
        return tables.converted(values, MerchantConfig)

    rows = tables.rows(body, MERCHANT_COLUMNS, ["external_id", "name"], make)
    tables.refuse_repeats(rows, lambda one: one.external_id)
    return rows


def _offers(app: App, body: bytes) -> list[Row[OfferConfig]]:
    """The file's offers, whose merchants and categories are external ids and slugs as yet."""

    def make(cells: dict[str, str]) -> OfferConfig:
        values: dict[str, object] = {**_required(cells)}
        for field, columns in PARTS.items():
            given = {one: values.pop(one) for one in columns if one in values}
            if given:
                values[field] = {one.partition("_")[2]: text for one, text in given.items()}
        if "merchant" in values:
            values["merchant_id"] = values.pop("merchant")
        values["category_ids"] = str(values.pop("categories", "")).split()
        return offers.checked(app, tables.converted(values, OfferConfig))

    rows = tables.rows(body, OFFER_COLUMNS, OFFER_NEEDED, make)
    tables.refuse_repeats(rows, lambda one: one.external_id)
    return rows


def _required(cells: dict[str, str]) -> dict[str, str]:
    if "external_id" not in cells:
        raise errors.InvalidRequest("The row has no external_id.")
    return cells


async def _filed(
    db: Db, program_id: str, rows: Sequence[Row[MerchantConfig]]
) -> list[MerchantConfig]:
    """The merchants with the ids of their categories; InvalidRequest."""
    known = await _categories(db, program_id, rows)
    return [
        msgspec.structs.replace(config, category_ids=_ids(config.category_ids, known))
        for _, config in rows
    ]


async def _placed(db: Db, program_id: str, rows: Sequence[Row[OfferConfig]]) -> list[OfferConfig]:
    """The offers with the ids of their merchants and categories; InvalidRequest."""
    filed = await _categories(db, program_id, rows)
    known = await merchants.ids_of(db, program_id, {row.item.merchant_id for row in rows})
    tables.refuse(
        [
            {"detail": f"There is no merchant {config.merchant_id}.", "line": str(line)}
            for line, config in rows
            if config.merchant_id not in known
        ]
    )
    await merchants.hold(db, program_id, known.values())
    return [
        msgspec.structs.replace(
            config,
            merchant_id=known[config.merchant_id],
            category_ids=_ids(config.category_ids, filed),
        )
        for _, config in rows
    ]


async def _categories(
    db: Db, program_id: str, rows: Sequence[Row[MerchantConfig]] | Sequence[Row[OfferConfig]]
) -> dict[str, str]:
    """The ids of the categories that rows name by slug; InvalidRequest when one is not there."""
    slugs = {slug for row in rows for slug in row.item.category_ids}
    known = await categories.ids_of(db, program_id, slugs)
    tables.refuse(
        [
            {"detail": f"There is no category {slug}.", "line": str(row.line)}
            for row in rows
            for slug in row.item.category_ids
            if slug not in known
        ]
    )
    return known


def _ids(slugs: Iterable[str], known: dict[str, str]) -> tuple[str, ...]:
    return tuple(known[slug] for slug in slugs)


async def _check_states(db: Db, program_id: str, rows: Sequence[Row[OfferConfig]]) -> None:
    """InvalidRequest for rows that would make drafts of offers that were published."""
    names = [row.item.external_id or "" for row in rows]
    present = await stored.lock_by_external_id(db, program_id, names)
    problems = []
    for line, config in rows:
        known = present.get(config.external_id or "")
        try:
            rules.next_state(known and known.config.state, config.state)
        except errors.OfferInUse as error:
            problems.append({"detail": error.detail, "line": str(line)})
    tables.refuse(problems)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/merchants/import",
        handler=import_merchants,
        name="import_merchants",
        summary="Store or replace the merchants of a CSV file, all or none",
        scope="programs:write",
        body=str,
        body_type="text/csv",
        reply=Imported,
        errors=(errors.CategoryNotFound, errors.ProgramNotFound),
        body_limit=tables.BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="POST",
        path="/v1/offers/import",
        handler=import_offers,
        name="import_offers",
        summary="Store or replace the offers of a CSV file, all or none",
        scope=offers.WRITE,
        body=str,
        body_type="text/csv",
        reply=Imported,
        errors=(*offers.WRITTEN, errors.OfferInUse, errors.ProgramNotFound),
        body_limit=tables.BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
)
