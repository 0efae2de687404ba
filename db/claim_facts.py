"""What our own click log and conversions say of a claim, and which clicks can still be claimed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from core import (
    attribution,
    claim_rules,
    claims,
    classes,
    clickid,
    conversions,
    errors,
    offers,
    rates,
    withdrawals,
)
from core.claim_rules import Facts, Policy
from core.conversions import Conversion
from core.errors import ForgedClickId
from core.money import Money
from core.networks import Rules
from core.offers import NOTHING, OfferConfig, Used
from db import exchange_rates, networks
from db import offers as stored_offers
from db.pg import Db
from db.programs import Program

DAY: Final = dt.timedelta(days=1)

CLICK: Final = """
SELECT c.click_id, c.clicked_at, c.class, c.link_id, c.day, c.address_hash, c.user_agent,
       o.id AS offer_id, o.merchant_id, o.network_id
  FROM click c LEFT JOIN offer o ON o.link_id = c.link_id AND o.program_id = c.program_id
 WHERE c.program_id = $1 AND c.member_id = $2 AND c.day = $3 AND c.click_id = $4
"""
# The last one before the order; one that a human made and no network has reported, if there is one.
CLICK_OF_MERCHANT: Final = """
SELECT c.click_id, c.clicked_at, c.class, c.link_id, c.day, c.address_hash, c.user_agent,
       o.id AS offer_id, o.merchant_id, o.network_id
  FROM click c JOIN offer o ON o.link_id = c.link_id AND o.program_id = c.program_id
 WHERE c.program_id = $1 AND c.member_id = $2 AND o.merchant_id = $3
   AND c.clicked_at BETWEEN $4 AND $5 AND c.day BETWEEN $6 AND $7
   AND NOT EXISTS (SELECT FROM claim WHERE claim.program_id = $1 AND claim.click_id = c.click_id
                                       AND claim.conversion_id IS NULL)
 ORDER BY EXISTS (SELECT FROM conversion v WHERE v.program_id = $1 AND v.click_id = c.click_id),
          c.class <> 0, c.clicked_at DESC
 LIMIT 1
"""
ELIGIBLE: Final = """
SELECT c.click_id, c.clicked_at, o.id AS offer, o.title AS offer_title, m.id AS merchant,
       m.name AS merchant_name
  FROM click c
  JOIN offer o ON o.link_id = c.link_id AND o.program_id = c.program_id
  JOIN merchant m ON m.id = o.merchant_id
 WHERE c.program_id = $1 AND c.member_id = $2 AND c.class = 0
   AND c.clicked_at >= $3 AND c.day >= $4 AND ($5::text IS NULL OR o.merchant_id = $5)
   AND NOT EXISTS (SELECT FROM conversion v WHERE v.program_id = $1 AND v.click_id = c.click_id)
   AND NOT EXISTS (SELECT FROM claim WHERE claim.program_id = $1 AND claim.click_id = c.click_id)
 ORDER BY c.clicked_at DESC LIMIT $6
"""
# Shops give the last click the sale.
LATER_CLICK: Final = """
SELECT c.click_id
  FROM click c JOIN offer o ON o.link_id = c.link_id AND o.program_id = c.program_id
 WHERE c.program_id = $1 AND c.member_id = $2 AND o.merchant_id = $3 AND c.link_id <> $4
   AND c.class = 0 AND c.clicked_at > $5 AND c.clicked_at <= $6 AND c.day BETWEEN $7 AND $8
 ORDER BY c.clicked_at LIMIT 1
"""
# Addresses are hashed under the salt of a day, so that those of one day can be compared.
IS_DEVICE_SHARED: Final = """
SELECT EXISTS (
    SELECT FROM click c JOIN offer o ON o.link_id = c.link_id AND o.program_id = c.program_id
     WHERE c.program_id = $1 AND c.member_id <> $2 AND o.merchant_id = $3 AND c.class = 0
       AND c.clicked_at > $4 AND c.clicked_at <= $5 AND c.day = $6 AND c.click_id > $7
       AND c.address_hash = $8 AND c.user_agent IS NOT DISTINCT FROM $9)
"""
# Of a click, or of an order of the merchant, whosever that is.
REPORTED: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, parked, order_id, sale_minor,
       sale_currency, event_at, click_id, merchant_id, member_id, booked_currency, first_seen_at,
       updated_at,
       EXISTS (SELECT FROM claim
                WHERE claim.program_id = v.program_id AND claim.member_id = v.member_id
                  AND claim.conversion_id = v.id) AS is_taken
  FROM conversion v
 WHERE program_id = $1
   AND (click_id = $2 OR (lower(ltrim(order_id, '#') COLLATE "C") = $3
                          AND (merchant_id = $4 OR merchant_id IS NULL OR $4::text IS NULL)))
 ORDER BY id
"""
# An order whose report has answered a claim is done with. What ended with the report of another
# one, or of one that could not be told apart, can be claimed anew.
IS_ANSWERED: Final = """
SELECT EXISTS (
    SELECT FROM claim c JOIN conversion v ON v.program_id = c.program_id AND v.id = c.conversion_id
     WHERE c.program_id = $1 AND lower(ltrim(c.order_id, '#')) = $2
       AND c.merchant_id IS NOT DISTINCT FROM $3
       AND lower(ltrim(v.order_id, '#') COLLATE "C") = $2)
"""
TAKEN: Final = """
SELECT conversion_id FROM claim
 WHERE program_id = $1 AND member_id = ANY($2::text[]) AND conversion_id = ANY($3::text[])
"""
# What a conversion gave the member, or a claim before its conversion.
USED: Final = """
SELECT coalesce(sum(amount_minor), 0)::bigint AS amount_minor, count(*) AS count
  FROM (SELECT booked_cashback_minor AS amount_minor FROM conversion
         WHERE program_id = $1 AND member_id = $2 AND offer_id = $3 AND first_seen_at >= $4
           AND state NOT IN ('rejected', 'reversed') AND booked_cashback_minor > 0
        UNION ALL
        SELECT credit_minor FROM claim
         WHERE program_id = $1 AND member_id = $2 AND offer_id = $3 AND opened_at >= $4
           AND state IN ('accepted', 'settled') AND conversion_id IS NULL) AS had
"""


class Click(NamedTuple):
    """A member's click as the log has it, with the offer that its link belongs to."""

    click_id: str
    clicked_at: dt.datetime
    hit_class: int
    link_id: str
    day: dt.date
    address_hash: bytes | None
    user_agent: str | None
    offer_id: str | None
    merchant_id: str | None
    network_id: str | None


class Reported(NamedTuple):
    """A conversion of a click or an order, as far as that is told by it; `is_taken`: it has
    answered a claim."""

    found: Conversion
    is_taken: bool


class Order(NamedTuple):
    """What the member says of the purchase."""

    member_id: str
    order_id: str
    money: Money
    ordered_at: dt.datetime


class Eligible(msgspec.Struct, frozen=True, kw_only=True):
    """A click that can be claimed, until when."""

    click_id: str
    clicked_at: dt.datetime
    offer: str
    offer_title: str
    merchant: str
    merchant_name: str
    claimable_until: dt.datetime


async def eligible(
    db: Db, program_id: str, member_id: str, *, merchant_id: str | None, policy: Policy,
    now: dt.datetime, limit: int,
) -> list[Eligible]:  # fmt: skip
    """Up to `limit` clicks of the member on offers that humans made, that no network has reported
    and nobody has claimed, the latest first."""
    window = dt.timedelta(days=policy.window_days)
    since = now - window
    asked = (program_id, member_id, since, since.date(), merchant_id, limit)
    return [
        Eligible(**row, claimable_until=row["clicked_at"] + window)
        for row in await db.fetch(ELIGIBLE, *asked)
    ]


async def click(
    db: Db, keys: Mapping[int, bytes], program_id: str, member_id: str, text: str
) -> Click:
    """The member's own click of this id; ClickNotFound, also for somebody else's."""
    try:
        proved = clickid.verify(text, program_id, keys)
    except ForgedClickId:
        raise errors.ClickNotFound from None
    day = conversions.moment(proved.ms).date()
    row = await db.fetchrow(CLICK, program_id, member_id, day, proved.text)
    if row is None:
        raise errors.ClickNotFound
    return Click(*row)


async def click_of_merchant(
    db: Db, program_id: str, merchant_id: str, order: Order, window: dt.timedelta
) -> Click | None:
    """The click that most likely led to the order, None if the member made none in the window."""
    end = attribution.latest(order.ordered_at).astimezone(dt.UTC)
    start = order.ordered_at.astimezone(dt.UTC) - window
    asked = (program_id, order.member_id, merchant_id, start, end, start.date(), end.date())
    row = await db.fetchrow(CLICK_OF_MERCHANT, *asked)
    return None if row is None else Click(*row)


async def reported(
    db: Db, program_id: str, click_id: str | None, order_id: str, merchant_id: str | None
) -> list[Reported]:
    """The conversions of a click, and of an order of a merchant, the oldest first."""
    key = claims.order_key(order_id)
    rows = await db.fetch(REPORTED, program_id, click_id, key, merchant_id)
    values = map(dict, rows)
    return [Reported(is_taken=one.pop("is_taken"), found=Conversion(**one)) for one in values]


async def is_answered(db: Db, program_id: str, order_id: str, merchant_id: str | None) -> bool:
    """Whether a claim of an order has been answered by the report of that order."""
    key = claims.order_key(order_id)
    return bool(await db.fetchval(IS_ANSWERED, program_id, key, merchant_id))


async def taken(db: Db, program_id: str, found: Sequence[Conversion]) -> set[str]:
    """Those of these conversions, by their ids, that have answered claims."""
    member_ids = sorted({one.member_id for one in found if one.member_id is not None})
    names = [one.id for one in found]
    return {row[0] for row in await db.fetch(TAKEN, program_id, member_ids, names)}


async def gather(
    db: Db, program: Program, found: Click | None, order: Order, now: dt.datetime
) -> Facts:
    """What our records say of an order and the click that it is said to have come from."""
    if found is None:
        return Facts()
    offer = None
    if found.offer_id is not None:
        offer = (await stored_offers.get(db, program.id, found.offer_id)).config
    rules = await _rules(db, program.id, found.network_id)
    value = await _value(db, program, order)
    used = await _used(db, program, order.member_id, found.offer_id, offer, now)
    given = claim_rules.cashback_minor(offer, value, program.currency, used)
    clicked_at, ordered_at = _times(found, order)
    refusal = "" if offer is None else offers.refusal(offer, _ms(clicked_at), _ms(ordered_at))
    known = await reported(db, program.id, found.click_id, order.order_id, found.merchant_id)
    made = claims.Purchase(order.order_id, order.money, order.ordered_at)
    matches = {
        claims.compared(made, one, is_taken=is_taken)
        for one, is_taken in known
        if one.click_id == found.click_id
    }
    key = claims.order_key(order.order_id)
    is_order = any(claims.order_key(one.order_id or "") == key for one, _ in known)
    return Facts(
        clicked_at=found.clicked_at,
        hit_class=classes.NAMES[found.hit_class],
        offer_id=found.offer_id,
        order_after_s=(ordered_at - clicked_at) // dt.timedelta(seconds=1),
        claim_after_s=(now - clicked_at) // dt.timedelta(seconds=1),
        refusal=refusal,
        least_s=rules.click_min_s,
        most_s=rules.window_days * 86_400,
        is_click_reported="same" in matches,
        is_order_reported=is_order,
        has_other_order=not matches <= {"same"},
        later_click=await _later_click(db, program.id, found, order),
        is_device_shared=await _is_device_shared(db, program.id, found, order),
        order_value_minor=None if value is None else value.amount_minor,
        cashback_minor=given,
        needs_two=withdrawals.needs_two(program.settings.withdrawals, given or 0),
    )


async def _rules(db: Db, program_id: str, network_id: str | None) -> Rules:
    """Those of the account that reports the click; the usual ones for a network without one."""
    if network_id is None:
        return Rules()
    try:
        return (await networks.get(db, program_id, network_id)).rules
    except errors.NetworkNotFound:
        return Rules()


async def _later_click(db: Db, program_id: str, found: Click, order: Order) -> str | None:
    clicked_at, ordered_at = _times(found, order)
    asked = (order.member_id, found.merchant_id, found.link_id, clicked_at, ordered_at)
    later: str | None = await db.fetchval(
        LATER_CLICK, program_id, *asked, clicked_at.date(), ordered_at.date()
    )
    return later


async def _is_device_shared(db: Db, program_id: str, found: Click, order: Order) -> bool:
    if found.address_hash is None:
        return False
    asked = (order.member_id, found.merchant_id, *_times(found, order), found.day, found.click_id)
    device = (found.address_hash, found.user_agent)
    return bool(await db.fetchval(IS_DEVICE_SHARED, program_id, *asked, *device))


async def _value(db: Db, program: Program, order: Order) -> Money | None:
    """The order's value in the program's currency, None without a rate of that time."""
    source = order.money.currency
    known = []
    if source != program.currency:
        known = await exchange_rates.to(db, program.id, program.currency, [source])
    rate = rates.Table(known).find(source, program.currency, order.ordered_at)
    if rate is None:
        return None
    return Money(rates.convert(order.money.amount_minor, rate), program.currency)


async def _used(
    db: Db,
    program: Program,
    member_id: str,
    offer_id: str | None,
    offer: OfferConfig | None,
    now: dt.datetime,
) -> Used:
    """What the member has had of the offer in the present period of its cap."""
    if offer is None or offer.member_cap is None:
        return NOTHING
    period = offers.period_of(offer.member_cap.period, _ms(now), program.time_zone)
    asked = (program.id, member_id, offer_id, period[0] if period else conversions.EPOCH)
    row = await db.fetchrow(USED, *asked)
    assert row is not None
    return Used(row["amount_minor"], row["count"])


def _times(found: Click, order: Order) -> tuple[dt.datetime, dt.datetime]:
    clicked_at = found.clicked_at.astimezone(dt.UTC)
    return clicked_at, clicked_at + attribution.since_click(clicked_at, order.ordered_at)


def _ms(moment: dt.datetime) -> int:
    return (moment - conversions.EPOCH) // dt.timedelta(milliseconds=1)
