"""Whose conversions are: by the clicks of their ids, or by the clicks that fit what came with them
instead.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
import msgspec

from core import attribution, conversions
from core.attribution import Candidate, Candidates, Click
from core.clickid import ClickId
from core.conversions import GUESSED, NO_HINTS, Conversion, Item, Word
from core.keyring import KeyRing
from db import members, offers
from db.bookings import Act
from db.networks import Network
from db.pg import Db

#: As many are looked at, and shown.
CLICKS_MAX: Final = 20
#: A shop with more offers than this is looked through in part.
OFFERS_MAX: Final = 50

# Id by id, and in the partitions of those days only.
CLICKS: Final = """
SELECT wanted.click_id, c.link_id, l.config ->> 'offer_id' AS offer_id,
       l.config ->> 'merchant_id' AS merchant_id, c.member_id, c.class AS hit_class
  FROM unnest($2::date[], $3::text[]) AS wanted (day, click_id)
 CROSS JOIN LATERAL (
       SELECT program_id, link_id, member_id, class FROM click
        WHERE program_id = $1 AND day = wanted.day AND click_id = wanted.click_id
          AND day BETWEEN $4 AND $5 LIMIT 1) AS c
  LEFT JOIN link l ON l.id = c.link_id AND l.program_id = c.program_id
"""
MEMBERS: Final = """
SELECT id, external_id FROM member
 WHERE program_id = $1 AND deleted_at IS NULL
   AND (id = ANY($2::text[]) OR external_id = ANY($2::text[]))
"""
# Offer and merchant by our ids, by the caller's own, or by the network's id of the shop.
OFFERS: Final = """
SELECT offer.id AS offer_id, offer.link_id, offer.merchant_id
  FROM offer JOIN merchant ON merchant.id = offer.merchant_id
 WHERE offer.program_id = $1
   AND ($3::text = '' OR $3 IN (offer.id, offer.external_id)
        OR offer.network_id = $2 AND offer.config ->> 'network_campaign' = $3)
   AND ($4::text = '' OR $4 IN (merchant.id, merchant.external_id)
        OR offer.network_id = $2 AND offer.config ->> 'network_campaign' = $4)
   AND ($5::text = '' OR upper(offer.coupon_code) = upper($5))
 ORDER BY offer.id LIMIT $6
"""
# Of a member who was named alone, what the network's own offers were clicked on.
OF_MEMBER: Final = """
SELECT c.click_id, c.clicked_at, c.link_id, offer.id AS offer_id, offer.merchant_id, c.member_id
  FROM click c
  JOIN offer ON offer.link_id = c.link_id AND offer.program_id = $1
  JOIN merchant ON merchant.id = offer.merchant_id
 WHERE c.program_id = $1 AND c.member_id = $6 AND c.class = 0
   AND c.day BETWEEN $7::date AND $8::date AND c.clicked_at BETWEEN $9 AND $10
   AND ($3::text = '' OR $3 IN (offer.id, offer.external_id)
        OR offer.network_id = $2 AND offer.config ->> 'network_campaign' = $3)
   AND ($4::text = '' OR $4 IN (merchant.id, merchant.external_id)
        OR offer.network_id = $2 AND offer.config ->> 'network_campaign' = $4)
   AND ($3 <> '' OR $4 <> '' OR offer.network_id = $2)
 ORDER BY c.clicked_at DESC, c.click_id DESC LIMIT $5
"""
# Day by day and link by link, so that a link with many clicks costs a few of them.
OF_LINKS: Final = """
SELECT found.click_id, found.clicked_at, found.link_id, found.member_id
  FROM generate_series($3::date::timestamp, $2::date::timestamp, interval '-1 day') AS days (at)
 CROSS JOIN unnest($6::text[]) AS links (id)
 CROSS JOIN LATERAL (
       SELECT click_id, clicked_at, link_id, member_id FROM click
        WHERE day = days.at::date AND link_id = links.id AND program_id = $1 AND class = 0
          AND clicked_at BETWEEN $4 AND $5
        ORDER BY click_id DESC LIMIT $7) AS found
 ORDER BY found.clicked_at DESC, found.click_id DESC LIMIT $7
"""


async def named(db: Db, program_id: str, items: Sequence[Item]) -> list[Item]:
    """The reports with the ids of the members whom they name; without those that nobody knows."""
    asked = {one.report.member for one in items if one.report.member}
    if not asked:
        return list(items)
    rows = await db.fetch(MEMBERS, program_id, list(asked))
    known = {row["external_id"]: row["id"] for row in rows} | {row["id"]: row["id"] for row in rows}
    return [
        item._replace(
            report=msgspec.structs.replace(
                item.report, member=known.get(item.report.member) if item.report.member else None
            )
        )
        for item in items
    ]


async def owned(
    db: Db,
    ring: KeyRing,
    network: Network,
    found: Sequence[Conversion],
    act: Act,
    words: dict[str, Word],
) -> list[Conversion]:
    """The conversions with the owners of those that have none yet; `words` gets what is said."""
    proofs = {one.id: attribution.proved(one, ring.click) for one in found if not one.attribution}
    clicks = await _clicks(db, network.program_id, filter(None, proofs.values()))
    given = await offers.configs(db, network.program_id, (one.offer_id for one in clicks.values()))
    decided: dict[str, tuple[Conversion, Word | None]] = {}
    for one in (each for each in found if each.id in proofs):
        proof = proofs[one.id]
        click = None if proof is None else clicks.get(proof.text)
        offer = None if click is None else given.get(click.offer_id or "")
        if proof is None and one.hints != NO_HINTS:
            decided[one.id] = await _guessed(db, network, one)
        else:
            decided[one.id] = attribution.decide(
                one, proof, click, network.rules, act.at, act.patience, offer
            )
    await _bar(db, network.program_id, found, decided)
    words |= {name: word for name, (_, word) in decided.items() if word is not None}
    return [decided[one.id][0] if one.id in decided else one for one in found]


async def candidates(db: Db, ring: KeyRing, network: Network, found: Conversion) -> list[Candidate]:
    """The clicks that it may have come from, the latest first; not the row of one that is not here
    yet, or no more.
    """
    proof = None if found.attribution in GUESSED else attribution.proved(found, ring.click)
    if proof is not None:
        click = (await _clicks(db, found.program_id, [proof])).get(proof.text)
        nothing = Click(None, None, None, None)
        return [Candidate(proof.text, conversions.moment(proof.ms), click or nothing)]
    if found.hints == NO_HINTS:
        return []
    return list((await _fitting(db, network, found)).clicks)


async def _guessed(db: Db, network: Network, one: Conversion) -> tuple[Conversion, Word | None]:
    """Few reports come without a click id and with a hint: each is looked up by itself, where it
    can be certain at all.
    """
    known = await _fitting(db, network, one, is_listed=False)
    names = (each.click.offer_id for each in known.clicks)
    given = await offers.configs(db, one.program_id, names)
    return attribution.guess(one, known, network.rules, given)


async def _bar(
    db: Db,
    program_id: str,
    found: Sequence[Conversion],
    decided: dict[str, tuple[Conversion, Word | None]],
) -> None:
    """Leave to nobody what a banned member would get."""
    owners = {one.member_id for one, _ in decided.values() if one.member_id is not None}
    if not owners:
        return
    banned = await members.banned(db, program_id, owners)
    for one in found:
        if one.id in decided and decided[one.id][0].member_id in banned:
            decided[one.id] = attribution.barred(one), None


async def _fitting(
    db: Db, network: Network, found: Conversion, *, is_listed: bool = True
) -> Candidates:
    """The human clicks within the network's window that fit what came with the conversion; unless
    they are to be listed, only where one of them may be certain.
    """
    hints, until = found.hints, attribution.latest(attribution.happened(found))
    since = attribution.happened(found) - dt.timedelta(days=network.rules.window_days)
    days = since.astimezone(dt.UTC).date(), until.astimezone(dt.UTC).date()
    place = found.program_id, network.id, hints.offer, hints.merchant
    if hints.member:
        rows = await db.fetch(OF_MEMBER, *place, CLICKS_MAX + 1, hints.member, *days, since, until)
        return _candidates([_candidate(row, row) for row in rows], is_exclusive=False)
    found_offers = await db.fetch(OFFERS, *place, hints.coupon, OFFERS_MAX)
    links = {row["link_id"]: row for row in found_offers}
    is_exclusive = bool(hints.coupon) and len(links) == 1
    if not links or not (is_exclusive or is_listed):
        return Candidates(is_all=not links)
    asked = (found.program_id, *days, since, until, list(links), CLICKS_MAX + 1)
    rows = await db.fetch(OF_LINKS, *asked)
    clicks = [_candidate(row, links[row["link_id"]]) for row in rows]
    return _candidates(clicks, is_exclusive=is_exclusive)


async def _clicks(db: Db, program_id: str, wanted: Iterable[ClickId]) -> dict[str, Click]:
    found = list(wanted)
    if not found:
        return {}
    days = [conversions.moment(one.ms).date() for one in found]
    names = [one.text for one in found]
    rows = await db.fetch(CLICKS, program_id, days, names, min(days), max(days))
    return {row["click_id"]: Click(*list(row)[1:]) for row in rows}


def _candidates(clicks: list[Candidate], *, is_exclusive: bool) -> Candidates:
    return Candidates(clicks[:CLICKS_MAX], len(clicks) <= CLICKS_MAX, is_exclusive)


def _candidate(row: asyncpg.Record, offer: asyncpg.Record) -> Candidate:
    click = Click(row["link_id"], offer["offer_id"], offer["merchant_id"], row["member_id"])
    return Candidate(row["click_id"], row["clicked_at"], click)
