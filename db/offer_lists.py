"""Which offers there are: lists, searches, the hot ones, and those of a shop's page."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from core import offers
from core.offers import Kind, State
from db import offers as stored
from db.offers import Offer
from db.pg import Db

HOT_MAX: Final = 200
OF_HOST_MAX: Final = 50

PAGE = """
WITH RECURSIVE below AS (
    SELECT id FROM category WHERE program_id = $1 AND id = $5
    UNION ALL
    SELECT category.id FROM category JOIN below ON category.parent_id = below.id)
SELECT offer.id
  FROM offer JOIN merchant ON merchant.id = offer.merchant_id
 WHERE offer.program_id = $1 AND offer.id > $2
   AND ($4::text IS NULL OR offer.merchant_id = $4)
   AND ($5::text IS NULL OR offer.category_ids && ARRAY(SELECT id FROM below))
   AND ($6::text IS NULL OR offer.kind = $6)
   AND ($7::text IS NULL OR offer.state = $7)
   AND ($8::text IS NULL OR offer.external_id = $8)
   AND ($9::boolean IS NULL OR $9 = (offer.state = 'active' AND merchant.state = 'active'
        AND (offer.starts_at <= $10) IS NOT FALSE AND (offer.ends_at > $10) IS NOT FALSE))
 ORDER BY offer.id LIMIT $3
"""
# By itself, so that the index of words is used.
SEARCH = """
WITH RECURSIVE below AS (
    SELECT id FROM category WHERE program_id = $1 AND id = $5
    UNION ALL
    SELECT category.id FROM category JOIN below ON category.parent_id = below.id)
SELECT offer.id
  FROM offer JOIN merchant ON merchant.id = offer.merchant_id
 WHERE offer.program_id = $1 AND offer.id > $2
   AND ($4::text IS NULL OR offer.merchant_id = $4)
   AND ($5::text IS NULL OR offer.category_ids && ARRAY(SELECT id FROM below))
   AND ($6::text IS NULL OR offer.kind = $6)
   AND ($7::text IS NULL OR offer.state = $7)
   AND ($8::text IS NULL OR offer.external_id = $8)
   AND ($9::boolean IS NULL OR $9 = (offer.state = 'active' AND merchant.state = 'active'
        AND (offer.starts_at <= $10) IS NOT FALSE AND (offer.ends_at > $10) IS NOT FALSE))
   AND offer.search @@ to_tsquery('simple', $11)
 ORDER BY offer.id LIMIT $3
"""
HOT = """
SELECT id FROM offer
 WHERE program_id = $1 AND is_hot AND state = 'active' AND (ends_at > $2) IS NOT FALSE
 ORDER BY rank, id LIMIT $3
"""
OF_HOST = """
SELECT offer.id
  FROM offer JOIN merchant ON merchant.id = offer.merchant_id
 WHERE offer.program_id = $1 AND merchant.hosts && $2::text[]
   AND offer.state = 'active' AND merchant.state = 'active'
   AND (offer.starts_at <= $3) IS NOT FALSE AND (offer.ends_at > $3) IS NOT FALSE
 ORDER BY offer.rank, offer.id LIMIT $4
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which offers are asked for; None is any. A category has those below it with it."""

    merchant_id: str | None = None
    category_id: str | None = None
    kind: Kind | None = None
    state: State | None = None
    external_id: str | None = None
    is_active: bool | None = None
    text: str | None = None


async def page(
    db: Db, program_id: str, wanted: Wanted, *, now: dt.datetime, after: str, limit: int
) -> list[Offer]:
    """Up to `limit` offers with ids beyond `after`, oldest first."""
    values = [
        *(program_id, after, limit, wanted.merchant_id, wanted.category_id, wanted.kind),
        *(wanted.state, wanted.external_id, wanted.is_active, now),
    ]
    if wanted.text is None:
        rows = await db.fetch(PAGE, *values)
    else:
        rows = await db.fetch(SEARCH, *values, offers.search_query(wanted.text))
    return await stored.get_many(db, program_id, [row["id"] for row in rows])


async def hot(db: Db, program_id: str, now: dt.datetime) -> list[Offer]:
    """The hot offers by rank, those included that begin later."""
    rows = await db.fetch(HOT, program_id, now, HOT_MAX)
    return await stored.get_many(db, program_id, [row["id"] for row in rows])


async def of_host(db: Db, program_id: str, host: str, now: dt.datetime) -> list[Offer]:
    """The active offers of the shops that have this host, by rank."""
    rows = await db.fetch(OF_HOST, program_id, offers.hosts_of(host), now, OF_HOST_MAX)
    return await stored.get_many(db, program_id, [row["id"] for row in rows])
