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

from core import attribution, cashback, conversions, rates
from core.conversions import Conversion, Hints, Item, Key, State, Verdict, Word
from core.errors import ConversionNotFound
from core.keyring import KeyRing
from core.offers import Terms
from db import attributions, bookings, exchange_rates, fraud, member_caps, offers, programs
from db.bookings import Act, Pair
from db.networks import Network
from db.pg import Db

# A row has the fields of a conversion. What makes it this one does not change.
_names: Final = Conversion.__struct_fields__
_kept: Final = {"id", "program_id", "network_id", "txn_id", "event", "first_seen_at"}
_columns: Final = ", ".join(_names)
_rows: Final = f"SELECT {_columns} FROM conversion"  # noqa: S608 - the names are a class's
#: What is said of what cannot be booked.
_unvalued: Final[Mapping[str, Word]] = {
    "currency_unknown": "currency_unknown",
    "amount_implausible": "amount_implausible",
}
_kinds: Final[dict[str, Any]] = {"hints": Hints, "terms": Terms, "rates": dict[str, str]}

# Key by key along the index of keys, whatever the planner makes of the table: while much comes in
# it takes that for small, and all that a program has for as soon read as one row of it.
OF_KEYS: Final = f"""
SELECT {_columns}
  FROM unnest($3::text[], $4::text[]) AS wanted (txn, goal)
 CROSS JOIN LATERAL (
       SELECT * FROM conversion
        WHERE (program_id = $1) IS TRUE AND network_id = $2 AND txn_id = wanted.txn
          AND event = wanted.goal
          FOR UPDATE) AS known
"""  # noqa: S608 - the names are a class's
LOCK: Final = _rows + " WHERE program_id = $1 AND id = $2 FOR UPDATE"
SELECT: Final = (
    _rows + " WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)"
)
PAGE: Final = (
    _rows
    + """
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR state = $5)
   AND ($6::text IS NULL OR network_id = $6) AND ($7::text IS NULL OR click_id = $7)
   AND ($8::text IS NULL OR parked = $8)
 ORDER BY id DESC LIMIT $3
"""
)
TO_TRY: Final = (
    _rows
    + """
 WHERE program_id = $1 AND network_id = $2 AND next_try_at <= $3
   AND ($5::text IS NULL OR id = $5)
 ORDER BY id LIMIT $4 FOR UPDATE
"""
)
# A task knows the ids alone, which it was given with the money.
TO_TELL: Final = (
    _rows
    + """
 WHERE id = ANY($1::text[]) AND state IN ('approved', 'settled') AND booked_cashback_minor > 0
   AND review IS DISTINCT FROM 'held'
   AND EXISTS (SELECT FROM member_contact AS own
                WHERE own.member_id = conversion.member_id AND own.verified_at IS NOT NULL)
 ORDER BY id
"""
)
# Network by network along the index: one whose conversions fail keeps no other waiting.
WAITING: Final = """
WITH RECURSIVE waiting AS (
    (SELECT program_id, network_id, next_try_at FROM conversion WHERE next_try_at IS NOT NULL
      ORDER BY network_id, next_try_at LIMIT 1)
    UNION ALL
    SELECT next.* FROM waiting CROSS JOIN LATERAL (
        SELECT program_id, network_id, next_try_at FROM conversion
         WHERE next_try_at IS NOT NULL AND network_id > waiting.network_id
         ORDER BY network_id, next_try_at LIMIT 1) AS next
)
SELECT program_id, network_id FROM waiting WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT $2
"""
_changes: Final = ", ".join(f"{one} = excluded.{one}" for one in _names if one not in _kept)
STORE: Final = f"""
INSERT INTO conversion ({_columns})
SELECT {_columns} FROM jsonb_populate_recordset(NULL::conversion, $1::jsonb)
    ON CONFLICT (id) DO UPDATE SET {_changes}
 WHERE conversion.program_id = excluded.program_id
"""  # noqa: S608 - the names are a class's
DUE: Final = """
SELECT id FROM conversion
 WHERE program_id = $1 AND network_id = $2 AND next_try_at <= $3 ORDER BY id LIMIT $4
"""
PUT_OFF: Final = """
UPDATE conversion SET next_try_at = $3 WHERE program_id = $1 AND id = $2 AND next_try_at IS NOT NULL
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
    items = await attributions.named(db, network.program_id, items)
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


async def retry(
    db: Db, ring: KeyRing, network: Network, act: Act, limit: int, *, only: str | None = None
) -> int:
    """Try again what waits for its click or a rate; how many conversions that were."""
    rows = await db.fetch(TO_TRY, network.program_id, network.id, act.at, limit, only)
    found = [_conversion(row) for row in rows]
    pairs: list[Pair] = [(one, one.replace(next_try_at=None, updated_at=act.at)) for one in found]
    await _settle(db, ring, network, pairs, act)
    return len(found)


async def due(db: Db, program_id: str, network_id: str, now: dt.datetime, limit: int) -> list[str]:
    """Which conversions of a network are to be tried again."""
    return [row["id"] for row in await db.fetch(DUE, program_id, network_id, now, limit)]


async def put_off(db: Db, program_id: str, conversion_id: str, until: dt.datetime) -> None:
    """Try a conversion no sooner than then, if it is to be tried again."""
    await db.execute(PUT_OFF, program_id, conversion_id, until)


async def change(
    db: Db, ring: KeyRing, network: Network, before: Conversion, after: Conversion, act: Act
) -> Conversion:
    """Store what an operator made of a locked conversion, with its money. Fraud rules look at it as
    they do at a report: what was parked, or nobody's, they have not seen yet."""
    await _settle(db, ring, network, [(before, after)], act)
    return await get(db, before.program_id, before.id)


async def change_many(
    db: Db, ring: KeyRing, network: Network, pairs: Sequence[Pair], act: Act
) -> None:
    """Store what reviews made of locked conversions of one network, with their money. Fraud rules
    do not look at it: they, or a person, have decided."""
    await _settle(db, ring, network, pairs, act, is_judged=False)


async def waiting(db: Db, now: dt.datetime, limit: int) -> list[tuple[str, str]]:
    """Program and network of the conversions that are to be tried again."""
    rows = await db.fetch(WAITING, now, limit)
    return [(row["program_id"], row["network_id"]) for row in rows]


async def get(
    db: Db, program_id: str, conversion_id: str, *, member_id: str | None = None
) -> Conversion:
    """The conversion, or ConversionNotFound; also when it is not of the given member."""
    return _conversion(await db.fetchrow(SELECT, program_id, conversion_id, member_id))


async def to_tell(db: Db, conversion_ids: Sequence[str]) -> list[Conversion]:
    """Those of these conversions whose members have their cashback, and can be reached."""
    return [_conversion(row) for row in await db.fetch(TO_TELL, conversion_ids)]


async def lock(db: Db, program_id: str, conversion_id: str) -> Conversion:
    """The same, which nobody else changes before the transaction ends."""
    return _conversion(await db.fetchrow(LOCK, program_id, conversion_id))


async def page(
    db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted
) -> list[Conversion]:
    """Up to `limit` conversions, the newest first."""
    asked = (wanted.member_id, wanted.state, wanted.network_id, wanted.click_id, wanted.parked)
    return [_conversion(row) for row in await db.fetch(PAGE, program_id, before, limit, *asked)]


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
            report, is_forged = attribution.credible(report, network.program_id, ring.click)
            if is_forged and found is None:
                return Verdict("bad_mac", None, "the click id is not one of ours")
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
    is_judged: bool = True,
) -> dict[str, Word]:  # fmt: skip
    """Find the owners of what has changed, value it, store it, and move its money."""
    if not pairs:
        return {}
    words: dict[str, Word] = {}
    found = [after for _, after in pairs]
    owned = await attributions.owned(db, ring, network, found, act, words)
    changed = [(before, after) for (before, _), after in zip(pairs, owned, strict=True)]
    valued = await _valued(db, network, changed)
    words |= {one.id: word for one in valued if (word := _unvalued.get(one.parked or ""))}
    done: list[Pair] = [
        (before, after.replace(version=1 if before is None else before.version + 1))
        for (before, _), after in zip(pairs, valued, strict=True)
    ]
    await db.execute(STORE, msgspec.json.encode([after for _, after in done]).decode())
    if is_judged:
        done, held = await fraud.judge(db, ring, network.program_id, done, act)
        words |= dict.fromkeys(held, "held_for_review")
    negative = await bookings.move(db, ring, network.program_id, done, act)
    await bookings.announce(db, done, negative, act)
    return words


async def _valued(db: Db, network: Network, pairs: Sequence[Pair]) -> list[Conversion]:
    """What was booked under terms of its own stays, or follows them; the rest gets present ones."""
    program = await programs.get(db, network.program_id)
    valued = {after.id: after for before, after in pairs if cashback.stays(before, after)}
    new = [after for _, after in pairs if after.id not in valued]
    named = {code for one in new for code in (one.currency, one.sale_currency) if code}
    sources = sorted(named - {program.currency})
    known = await exchange_rates.to(db, program.id, program.currency, sources) if sources else []
    table = rates.Table(known)
    given = await offers.configs(db, program.id, (one.offer_id for one in new))
    terms = {
        one.id: one.terms or cashback.promised(network.rules, given.get(one.offer_id or ""))
        for one in new
    }
    caps = {name: one.member_cap for name, one in terms.items() if one.member_cap is not None}
    batch = [after for _, after in pairs]
    had = await member_caps.read(db, program.id, new, caps, program.time_zone, batch)
    for one in valued.values():
        had.add(one)
    # Of one member's conversions the earlier ones count towards a cap.
    for one in sorted(new, key=lambda one: one.id):
        offer, used = given.get(one.offer_id or ""), had.used(one)
        made = cashback.valued(one, network.rules, program.currency, table, offer, used)
        had.add(made)
        valued[one.id] = made
    return [valued[one.id] for one in batch]


def _conversion(row: asyncpg.Record | None) -> Conversion:
    if row is None:
        raise ConversionNotFound
    values: dict[str, Any] = dict(row)
    for name, kind in _kinds.items():
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name], type=kind)
    return Conversion(**values)
