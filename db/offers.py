"""Offers, each with the link that its clicks are made on.

A click knows its link, and the link is one offer's for good: that is how a conversion finds the
offer (`of_link`), also after the member and the click's parameters were forgotten.

Whoever needs several of these rows locks them in one order: merchants, offers, categories,
networks, links; of each kind by id. Then of two who need the same ones one waits, never both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, offers
from core.links import NETWORKS, LinkConfig
from core.offers import Kind, OfferConfig, State
from db import categories, links, merchants, networks
from db.links import Publication
from db.pg import Db

# What has a column of its own is not in `config`.
COLUMNS: Final = (
    *("merchant_id", "external_id", "network_id", "title", "kind", "state", "coupon_code"),
    *("category_ids", "is_hot", "rank", "starts_at", "ends_at"),
)
# What a config must have, and has in columns.
NEEDED: Final = {"merchant_id": "-", "title": "-", "kind": "deal"}

INSERT = """
INSERT INTO offer (id, program_id, link_id, merchant_id, external_id, network_id, title, kind,
                   state, coupon_code, category_ids, is_hot, rank, starts_at, ends_at, config,
                   search)
SELECT item ->> 'id', $1, item ->> 'link_id', merchant.id, item ->> 'external_id',
       item ->> 'network_id', item ->> 'title', item ->> 'kind', item ->> 'state',
       item ->> 'coupon_code', ARRAY(SELECT jsonb_array_elements_text(item -> 'category_ids')),
       (item ->> 'is_hot')::boolean, (item ->> 'rank')::integer,
       (item ->> 'starts_at')::timestamptz, (item ->> 'ends_at')::timestamptz, item -> 'config',
       to_tsvector('simple', concat_ws(' ', item ->> 'title', merchant.name,
                                       item ->> 'coupon_code'))
  FROM jsonb_array_elements($2::jsonb) AS item
  JOIN merchant ON merchant.id = item ->> 'merchant_id' AND merchant.program_id = $1
 ORDER BY item ->> 'external_id'
RETURNING id
"""
UPDATE = """
UPDATE offer
   SET merchant_id = merchant.id, external_id = item ->> 'external_id',
       network_id = item ->> 'network_id', title = item ->> 'title', kind = item ->> 'kind',
       state = item ->> 'state', coupon_code = item ->> 'coupon_code',
       category_ids = ARRAY(SELECT jsonb_array_elements_text(item -> 'category_ids')),
       is_hot = (item ->> 'is_hot')::boolean, rank = (item ->> 'rank')::integer,
       starts_at = (item ->> 'starts_at')::timestamptz,
       ends_at = (item ->> 'ends_at')::timestamptz, config = item -> 'config', updated_at = now(),
       search = to_tsvector('simple', concat_ws(' ', item ->> 'title', merchant.name,
                                                item ->> 'coupon_code'))
  FROM jsonb_array_elements($2::jsonb) AS item
  JOIN merchant ON merchant.id = item ->> 'merchant_id' AND merchant.program_id = $1
 WHERE offer.id = item ->> 'id' AND offer.program_id = $1
RETURNING offer.id
"""
OF_MERCHANTS = """
SELECT id FROM offer WHERE program_id = $1 AND merchant_id = ANY($2::text[])
 ORDER BY id FOR NO KEY UPDATE
"""
INDEX = """
UPDATE offer
   SET search = to_tsvector('simple', concat_ws(' ', title, merchant.name, coupon_code))
  FROM merchant
 WHERE offer.program_id = $1 AND merchant.id = offer.merchant_id AND merchant.id = ANY($2::text[])
"""
SELECT = """
SELECT offer.id, offer.link_id, offer.merchant_id, offer.external_id, offer.network_id,
       offer.title, offer.kind, offer.state, offer.coupon_code, offer.category_ids, offer.is_hot,
       offer.rank, offer.starts_at, offer.ends_at, offer.config, offer.created_at, offer.updated_at,
       merchant.name AS merchant_name, merchant.logo_url AS merchant_logo_url,
       merchant.state AS merchant_state, merchant.approval_days
  FROM offer JOIN merchant ON merchant.id = offer.merchant_id
 WHERE offer.program_id = $1 AND offer.id = ANY($2::text[])
"""
LOCK = """
SELECT id FROM offer
 WHERE program_id = $1 AND (id = ANY($2::text[]) OR external_id = ANY($3::text[]))
 ORDER BY id FOR UPDATE
"""
OF_NETWORK = "SELECT id, link_id FROM offer WHERE program_id = $1 AND network_id = $2"
OF_LINK = "SELECT id FROM offer WHERE program_id = $1 AND link_id = $2"
DELETE = "DELETE FROM offer WHERE program_id = $1 AND id = $2"


class Offer(NamedTuple):
    """An offer as it is stored, and what is shown of its merchant with it."""

    id: str
    link_id: str
    config: OfferConfig
    merchant_name: str
    merchant_logo_url: str | None
    is_merchant_active: bool
    approval_days: int | None
    created_at: dt.datetime
    updated_at: dt.datetime

    def is_active(self, now_ms: int) -> bool:
        """Whether it is to be had at this moment."""
        return self.is_merchant_active and offers.is_active(self.config, now_ms)


class Draft(NamedTuple):
    """An offer to be stored: a validated config, and ids should it be new."""

    id: str
    link_id: str
    config: OfferConfig


class Saved(NamedTuple):
    """What became of drafts: the offers of those that changed something, and their links."""

    created: list[str]
    changed: list[str]
    publications: list[Publication]


async def get(db: Db, program_id: str, offer_id: str) -> Offer:
    """The offer, or OfferNotFound."""
    found = await get_many(db, program_id, [offer_id])
    if not found:
        raise errors.OfferNotFound
    return found[0]


async def get_many(db: Db, program_id: str, offer_ids: Sequence[str]) -> list[Offer]:
    """Those of these offers that there are, in this order."""
    found = {row["id"]: _offer(row) for row in await db.fetch(SELECT, program_id, offer_ids)}
    return [found[offer_id] for offer_id in offer_ids if offer_id in found]


async def configs(
    db: Db, program_id: str, offer_ids: Iterable[str | None]
) -> dict[str, OfferConfig]:
    """What those of these offers say that there are, by their ids."""
    names = sorted(set(filter(None, offer_ids)))
    return {one.id: one.config for one in await get_many(db, program_id, names)} if names else {}


async def lock(db: Db, program_id: str, offer_id: str, merchant_id: str | None = None) -> Offer:
    """The offer, which nobody else changes before the transaction ends; OfferNotFound. With the
    merchant that it is to become one of, if that is given."""
    await merchants.hold(db, program_id, [merchant_id] if merchant_id else [])
    await db.fetch(LOCK, program_id, [offer_id], [])
    return await get(db, program_id, offer_id)


async def lock_by_external_id(
    db: Db, program_id: str, external_ids: Sequence[str]
) -> dict[str, Offer]:
    """As `lock`, by the external ids that there are."""
    rows = await db.fetch(LOCK, program_id, [], external_ids)
    found = await get_many(db, program_id, [row["id"] for row in rows])
    return {one.config.external_id or "": one for one in found}


async def of_link(db: Db, program_id: str, link_id: str) -> str | None:
    """The offer that a link, and so every click on it, belongs to; None for other links."""
    found: str | None = await db.fetchval(OF_LINK, program_id, link_id)
    return found


async def add(
    db: Db,
    program_id: str,
    drafts: Sequence[Draft],
    random_slug: Callable[[], str],
    allow: Collection[str],
) -> list[Publication]:
    """Store new offers, whose networks may be at the private hosts of `allow`; MerchantNotFound,
    NetworkNotFound, CategoryNotFound, ExternalIdTaken,
    ProgramNotFound, InvalidDestination."""
    states = [offers.next_state(None, draft.config.state) for draft in drafts]
    made = [
        draft._replace(config=msgspec.structs.replace(draft.config, state=state))
        for draft, state in zip(drafts, states, strict=True)
    ]
    await merchants.hold(db, program_id, _merchants(made))
    await categories.hold(db, program_id, _categories(made))
    configs = await _link_configs(db, program_id, made, allow)
    wanted = [links.Draft(link_id, config, None) for link_id, config in configs.items()]
    added = await links.add_many(db, program_id, wanted, random_slug)
    for one in added.values():
        if not isinstance(one, links.Link):
            raise one
    await _write(db, INSERT, program_id, made)
    return [links.publication(one) for one in added.values() if isinstance(one, links.Link)]


async def change(
    db: Db,
    program_id: str,
    changes: Mapping[str, OfferConfig],
    present: Mapping[str, Offer],
    allow: Collection[str],
) -> list[Publication]:
    """Replace locked offers, both by id; errors as `add`, and OfferInUse."""
    made = [
        Draft(
            offer_id,
            present[offer_id].link_id,
            msgspec.structs.replace(
                config, state=offers.next_state(present[offer_id].config.state, config.state)
            ),
        )
        for offer_id, config in changes.items()
    ]
    await categories.hold(db, program_id, _categories(made))
    await _write(db, UPDATE, program_id, made)
    return await links.replace(db, program_id, await _link_configs(db, program_id, made, allow))


async def relink(
    db: Db, program_id: str, network_id: str, allow: Collection[str]
) -> list[Publication]:
    """Make the links of all offers that name an account which has changed; InvalidDestination.

    The caller has locked the account to change it. Offers are not locked, because whoever changes
    one may be waiting for the account; the links are. Whoever moved an offer away before that has
    made its link, so offers are read once these are held; whoever does so after us makes it anew.
    """
    rows = await db.fetch(OF_NETWORK, program_id, network_id)
    await links.hold(db, program_id, [row["link_id"] for row in rows])
    found = await get_many(db, program_id, [row["id"] for row in rows])
    own = [one for one in found if one.config.network_id == network_id]
    drafts = [Draft(one.id, one.link_id, one.config) for one in own]
    return await links.replace(db, program_id, await _link_configs(db, program_id, drafts, allow))


async def save(
    db: Db,
    program_id: str,
    drafts: Sequence[Draft],
    random_slug: Callable[[], str],
    allow: Collection[str],
) -> Saved:
    """Store drafts, or replace the offers with their external ids; one that says what is there
    changes nothing. Errors as `change`.
    """
    named = {draft.config.external_id or "": draft for draft in drafts}
    await merchants.hold(db, program_id, _merchants(drafts))
    present = await lock_by_external_id(db, program_id, list(named))
    new = [draft for external_id, draft in named.items() if external_id not in present]
    changes = {
        offer.id: named[external_id].config
        for external_id, offer in present.items()
        if _differs(offer.config, named[external_id].config)
    }
    publications = await add(db, program_id, new, random_slug, allow) if new else []
    if changes:
        by_id = {offer.id: offer for offer in present.values()}
        publications += await change(db, program_id, changes, by_id, allow)
    return Saved([draft.id for draft in new], list(changes), publications)


async def delete(db: Db, program_id: str, offer_id: str) -> tuple[Offer, Publication]:
    """Delete a draft, and its link; OfferNotFound, OfferInUse."""
    gone = await lock(db, program_id, offer_id)
    if gone.config.state != "draft":
        raise errors.OfferInUse
    await db.execute(DELETE, program_id, offer_id)
    return gone, await links.delete(db, program_id, gone.link_id)


async def index(db: Db, program_id: str, merchant_ids: Sequence[str]) -> None:
    """Let the offers of these merchants be found by their present names."""
    await db.fetch(OF_MERCHANTS, program_id, merchant_ids)
    await db.execute(INDEX, program_id, merchant_ids)


def _offer(row: asyncpg.Record) -> Offer:
    values = {name: row[name] for name in COLUMNS}
    stored = msgspec.json.decode(row["config"])
    kind: Kind = values.pop("kind")
    state: State = values.pop("state")
    values["category_ids"] = tuple(values["category_ids"])
    config = msgspec.structs.replace(
        msgspec.convert({**stored, **NEEDED}, OfferConfig), kind=kind, state=state, **values
    )
    return Offer(
        id=row["id"],
        link_id=row["link_id"],
        config=config,
        merchant_name=row["merchant_name"],
        merchant_logo_url=row["merchant_logo_url"],
        is_merchant_active=row["merchant_state"] == "active",
        approval_days=row["approval_days"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _differs(present: OfferConfig, wanted: OfferConfig) -> bool:
    return present != msgspec.structs.replace(wanted, state=wanted.state or present.state)


async def _write(db: Db, statement: str, program_id: str, drafts: Sequence[Draft]) -> None:
    try:
        rows = await db.fetch(statement, program_id, _items(drafts))
    except asyncpg.UniqueViolationError:
        raise errors.ExternalIdTaken from None
    if len(rows) < len(drafts):
        raise errors.MerchantNotFound


async def _link_configs(
    db: Db, program_id: str, drafts: Sequence[Draft], allow: Collection[str]
) -> dict[str, LinkConfig]:
    """The links of drafts by their ids; InvalidDestination names the offer that has none,
    NetworkNotFound the one whose network is neither an account of the program nor known by name.
    """
    wanted = {one.config.network_id for one in drafts if one.config.network_id is not None}
    known = await networks.linking(db, program_id, wanted) if wanted else {}
    found = {}
    for one in drafts:
        named, network = one.config.network_id, known.get(one.config.network_id or "")
        if named is not None and network is None and named not in NETWORKS:
            where = _where(one, errors.NetworkNotFound().detail, "/network_id")
            raise errors.NetworkNotFound(errors=[where])
        try:
            found[one.link_id] = offers.link_config(one.id, one.config, network, allow)
        except errors.InvalidDestination as error:
            where = _where(one, error.detail, "/destination")
            raise errors.InvalidDestination(error.detail, errors=[where]) from None
    return found


def _where(draft: Draft, detail: str, pointer: str) -> dict[str, str]:
    where = {"detail": detail, "pointer": pointer, "offer": draft.id}
    if draft.config.external_id is not None:
        where["external_id"] = draft.config.external_id
    return where


def _merchants(drafts: Iterable[Draft]) -> set[str]:
    return {draft.config.merchant_id for draft in drafts}


def _categories(drafts: Iterable[Draft]) -> set[str]:
    return {category_id for draft in drafts for category_id in draft.config.category_ids}


def _items(drafts: Iterable[Draft]) -> str:
    """The drafts as the statements read them."""
    items = []
    for draft in drafts:
        values = msgspec.structs.asdict(draft.config)
        item = {name: values.pop(name) for name in COLUMNS}
        rest = msgspec.to_builtins(draft.config)
        config = {name: value for name, value in rest.items() if name not in COLUMNS}
        items.append({**item, "id": draft.id, "link_id": draft.link_id, "config": config})
    return msgspec.json.encode(items).decode()
