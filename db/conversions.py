"""Conversions in PostgreSQL: what reports make of them, and their money, in one transaction.

Whoever calls has locked the network (`db.networks.lock`), so that reports of one network are taken
one after the other; then rows are locked, then accounts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from core import attribution, cashback, clickid, conversions, rates
from core.attribution import Click
from core.conversions import Conversion, Item, Key, State, Verdict, Word
from core.errors import ConversionNotFound, ForgedClickId
from core.keyring import KeyRing
from db import bookings, exchange_rates, fraud, member_caps, offers, programs
from db.bookings import Act, Pair
from db.networks import Network
from db.pg import Db

OF_KEYS: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at
  FROM conversion
  JOIN unnest($3::text[], $4::text[]) AS wanted (txn_id, event) USING (txn_id, event)
 WHERE program_id = $1 AND network_id = $2
 ORDER BY id FOR UPDATE OF conversion
"""
LOCK: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at
  FROM conversion WHERE program_id = $1 AND id = $2
   FOR UPDATE
"""
SELECT: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at
  FROM conversion WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)
"""
PAGE: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at
  FROM conversion
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR state = $5)
   AND ($6::text IS NULL OR network_id = $6) AND ($7::text IS NULL OR click_id = $7)
   AND ($8::text IS NULL OR parked = $8)
 ORDER BY id DESC LIMIT $3
"""
TO_TRY: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at
  FROM conversion WHERE program_id = $1 AND network_id = $2 AND next_try_at <= $3
 ORDER BY id LIMIT $4 FOR UPDATE
"""
# A task knows the id alone, which it was given with the money.
TO_TELL: Final = """
SELECT program_id FROM conversion
 WHERE id = $1 AND state IN ('approved', 'settled') AND booked_cashback_minor > 0
   AND review IS DISTINCT FROM 'held'
"""
WAITING: Final = """
SELECT DISTINCT program_id, network_id
  FROM (SELECT program_id, network_id FROM conversion WHERE next_try_at <= $1
         ORDER BY next_try_at LIMIT $2) AS first
"""
STORE: Final = """
INSERT INTO conversion
       (id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at)
SELECT id, program_id, network_id, txn_id, event, version, state, parked, review, status_word,
       order_id, sale_minor, sale_currency, commission_minor, corrected_minor, counted, currency,
       event_at, reported_at, click_id, link_id, offer_id, merchant_id, member_id, attribution,
       reasons,
       booked_currency, booked_commission_minor, booked_cashback_minor, rate, next_try_at,
       first_seen_at, updated_at, approved_at, settled_at, reversed_at
  FROM jsonb_populate_recordset(NULL::conversion, $1::jsonb)
    ON CONFLICT (id) DO UPDATE
   SET version = excluded.version, state = excluded.state, parked = excluded.parked,
       review = excluded.review, status_word = excluded.status_word, order_id = excluded.order_id,
       sale_minor = excluded.sale_minor, sale_currency = excluded.sale_currency,
       commission_minor = excluded.commission_minor, corrected_minor = excluded.corrected_minor,
       counted = excluded.counted, currency = excluded.currency, event_at = excluded.event_at,
       reported_at = excluded.reported_at, click_id = excluded.click_id,
       link_id = excluded.link_id, offer_id = excluded.offer_id, merchant_id = excluded.merchant_id,
       member_id = excluded.member_id, attribution = excluded.attribution,
       reasons = excluded.reasons, booked_currency = excluded.booked_currency,
       booked_commission_minor = excluded.booked_commission_minor,
       booked_cashback_minor = excluded.booked_cashback_minor, rate = excluded.rate,
       next_try_at = excluded.next_try_at, updated_at = excluded.updated_at,
       approved_at = excluded.approved_at, settled_at = excluded.settled_at,
       reversed_at = excluded.reversed_at
 WHERE conversion.program_id = excluded.program_id
"""
CLICKS: Final = """
SELECT click_id, c.link_id, l.config ->> 'offer_id' AS offer_id,
       l.config ->> 'merchant_id' AS merchant_id, c.member_id
  FROM unnest($2::date[], $3::text[]) AS wanted (day, click_id) JOIN click c USING (day, click_id)
  LEFT JOIN link l ON l.id = c.link_id AND l.program_id = c.program_id
 WHERE c.program_id = $1
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversions are asked for; None asks for all."""

    member_id: str | None = None
    state: State | None = None
    network_id: str | None = None
    click_id: str | None = None
    parked: conversions.Parked | None = None


async def apply(
    db: Db, ring: KeyRing, network: Network, items: Sequence[Item], act: Act
) -> list[Verdict]:
    """Take reports of a locked network, in their order, with their money; what became of each."""
    dedupe, verdicts = network.rules.dedupe, []
    keys = [conversions.key(one.report, dedupe, one.source) for one in items]
    folded = _Folded(await known(db, network, keys))
    for key, item in zip(keys, items, strict=True):
        verdicts.append(folded.take(key, item, network, ring, act.at))
    words = await _settle(db, ring, network, folded.pairs(), act)
    return [
        verdict
        if verdict.conversion_id is None or verdict.word not in ("accepted", "updated")
        else verdict._replace(word=words.get(verdict.conversion_id) or verdict.word)
        for verdict in verdicts
    ]


async def retry(db: Db, ring: KeyRing, network: Network, act: Act, limit: int) -> int:
    """Try again what waits for its click or a rate; how many conversions that were."""
    rows = await db.fetch(TO_TRY, network.program_id, network.id, act.at, limit)
    found = [_conversion(row) for row in rows]
    pairs: list[Pair] = [(one, one.replace(next_try_at=None, updated_at=act.at)) for one in found]
    await _settle(db, ring, network, pairs, act)
    return len(found)


async def change(
    db: Db, ring: KeyRing, network: Network, before: Conversion, after: Conversion, act: Act
) -> Conversion:
    """Store what an operator made of a locked conversion, with its money."""
    await change_many(db, ring, network, [(before, after)], act)
    return await get(db, before.program_id, before.id)


async def change_many(
    db: Db, ring: KeyRing, network: Network, pairs: Sequence[Pair], act: Act
) -> None:
    """The same of many conversions of one network. Fraud rules do not look at it."""
    await _settle(db, ring, network, pairs, act, is_report=False)


async def waiting(db: Db, now: dt.datetime, limit: int) -> list[tuple[str, str]]:
    """Program and network of the conversions that are to be tried again."""
    rows = await db.fetch(WAITING, now, limit)
    return [(row["program_id"], row["network_id"]) for row in rows]


async def get(
    db: Db, program_id: str, conversion_id: str, *, member_id: str | None = None
) -> Conversion:
    """The conversion, or ConversionNotFound; also when it is not of the given member."""
    return _conversion(await db.fetchrow(SELECT, program_id, conversion_id, member_id))


async def to_tell(db: Db, conversion_id: str) -> Conversion | None:
    """The conversion, if its member has its cashback."""
    program_id = await db.fetchval(TO_TELL, conversion_id)
    return None if program_id is None else await get(db, program_id, conversion_id)


async def lock(db: Db, program_id: str, conversion_id: str) -> Conversion:
    """The same, which nobody else changes before the transaction ends."""
    return _conversion(await db.fetchrow(LOCK, program_id, conversion_id))


async def page(
    db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted
) -> list[Conversion]:
    """Up to `limit` conversions, the newest first."""
    asked = (wanted.member_id, wanted.state, wanted.network_id, wanted.click_id, wanted.parked)
    return [_conversion(row) for row in await db.fetch(PAGE, program_id, before, limit, *asked)]


async def candidates(
    db: Db, ring: KeyRing, found: Conversion
) -> list[tuple[str, dt.datetime, str | None, str | None]]:
    """The clicks that it may have come from: id, time, link, member."""
    proof = attribution.proved(found, ring.click)
    if proof is None:
        return []
    click = (await _clicks(db, found.program_id, [proof])).get(proof.text)
    link_id, member_id = (None, None) if click is None else (click.link_id, click.member_id)
    return [(proof.text, conversions.moment(proof.ms), link_id, member_id)]


class _Folded:
    """Conversions while reports are taken one after the other."""

    def __init__(self, known: Mapping[Key, Conversion]) -> None:
        self._before = known
        self._after = dict(known)

    def take(
        self, key: Key, item: Item, network: Network, ring: KeyRing, now: dt.datetime
    ) -> Verdict:
        found, report = self._after.get(key), item.report
        if report.click_id is not None:
            click_id = _spelling(report.click_id, network.program_id, ring)
            if click_id is None and found is None:
                return Verdict("bad_mac", None, "the click id is not one of ours")
            report = msgspec.structs.replace(report, click_id=click_id)
        before = found
        if before is None:
            made = (bookings.new_id("conversion", now), network.program_id, network.id)
            before = conversions.begin(key, report, made, now)
        after = conversions.take(before, report, network.rules.dedupe, now)
        if isinstance(after, str):
            return Verdict(after, None if found is None else found.id)
        self._after[key] = after.replace(version=max(after.version, 1))
        return Verdict("accepted" if found is None else "updated", after.id)

    def pairs(self) -> list[Pair]:
        """What has changed: before and after."""
        return [
            (self._before.get(key), after)
            for key, after in self._after.items()
            if self._before.get(key) is not after
        ]


async def known(db: Db, network: Network, keys: Iterable[Key]) -> dict[Key, Conversion]:
    """Those of these conversions of a network that there are, locked."""
    wanted = sorted(set(keys))
    columns = [key.txn_id for key in wanted], [key.event for key in wanted]
    rows = await db.fetch(OF_KEYS, network.program_id, network.id, *columns)
    return {Key(row["txn_id"], row["event"]): _conversion(row) for row in rows}


async def _settle(
    db: Db, ring: KeyRing, network: Network, pairs: Sequence[Pair], act: Act, *,
    is_report: bool = True,
) -> dict[str, Word]:  # fmt: skip
    """Find the owners of what has changed, value it, store it, and move its money."""
    if not pairs:
        return {}
    words: dict[str, Word] = {}
    owned = await _owned(db, ring, network, [after for _, after in pairs], act, words)
    valued = await _valued(db, network, owned)
    words |= {one.id: "currency_unknown" for one in valued if one.parked == "currency_unknown"}
    done: list[Pair] = [
        (before, after.replace(version=1 if before is None else before.version + 1))
        for (before, _), after in zip(pairs, valued, strict=True)
    ]
    await db.execute(STORE, msgspec.json.encode([after for _, after in done]).decode())
    if is_report:
        done, held = await fraud.judge(db, network.program_id, done, act)
        words |= dict.fromkeys(held, "held_for_review")
    negative = await bookings.move(db, network.program_id, done, act)
    await bookings.announce(db, done, negative, act)
    return words


async def _owned(
    db: Db,
    ring: KeyRing,
    network: Network,
    found: Sequence[Conversion],
    act: Act,
    words: dict[str, Word],
) -> list[Conversion]:
    proofs = {one.id: attribution.proved(one, ring.click) for one in found if not one.attribution}
    clicks = await _clicks(db, network.program_id, filter(None, proofs.values()))
    owned = []
    for one in found:
        if one.id in proofs:
            proof = proofs[one.id]
            click = None if proof is None else clicks.get(proof.text)
            made, word = attribution.decide(one, proof, click, network.rules, act.at, act.patience)
            if word is not None:
                words[one.id] = word
            owned.append(made)
        else:
            owned.append(one)
    return owned


async def _clicks(db: Db, program_id: str, wanted: Iterable[clickid.ClickId]) -> dict[str, Click]:
    found = list(wanted)
    if not found:
        return {}
    days = [conversions.moment(one.ms).date() for one in found]
    rows = await db.fetch(CLICKS, program_id, days, [one.text for one in found])
    return {
        row["click_id"]: Click(
            row["link_id"], row["offer_id"], row["merchant_id"], row["member_id"]
        )
        for row in rows
    }


async def _valued(db: Db, network: Network, found: Sequence[Conversion]) -> list[Conversion]:
    program = await programs.get(db, network.program_id)
    named = {code for one in found for code in (one.currency, one.sale_currency) if code}
    sources = sorted(named - {program.currency})
    known = await exchange_rates.to(db, program.id, program.currency, sources) if sources else []
    table = rates.Table(known)
    names = sorted({one.offer_id for one in found if one.offer_id is not None})
    given = {one.id: one.config for one in await offers.get_many(db, program.id, names)}
    caps = {
        one.id: offer.member_cap
        for one in found
        if (offer := given.get(one.offer_id or "")) is not None and offer.member_cap is not None
    }
    had = await member_caps.read(db, program.id, found, caps, program.time_zone)
    valued: dict[str, Conversion] = {}
    # Of one member's conversions the earlier ones count towards a cap.
    for one in sorted(found, key=lambda one: one.id):
        offer, used = given.get(one.offer_id or ""), had.used(one)
        made = cashback.valued(one, network.rules, program.currency, table, offer, used)
        had.add(made)
        valued[one.id] = made
    return [valued[one.id] for one in found]


def _spelling(text: str, program_id: str, ring: KeyRing) -> str | None:
    """The one spelling of a click id of ours; networks change the case of letters."""
    try:
        return clickid.verify(text, program_id, ring.click).text
    except ForgedClickId:
        return None


def _conversion(row: asyncpg.Record | None) -> Conversion:
    if row is None:
        raise ConversionNotFound
    values: dict[str, Any] = dict(row)
    return Conversion(**values)
