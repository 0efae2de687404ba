"""What fraud rules look at, of many conversions by a few statements, whatever their number. A
statement is spared when no rule needs what it finds.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from core import clickid, clicks, conversions
from core import fraud_lists as fraud_lists_
from core.conversions import Conversion
from core.fraud_kinds import HISTORY_MAX
from core.fraud_lists import Found
from core.fraud_rules import (
    AddressVelocity,
    AgentBurst,
    ClickClass,
    Condition,
    DisposableMail,
    Facts,
    History,
    ListedNetwork,
    NewMember,
    Referrer,
    SharedDocument,
    SharedPayoutMethod,
    SourceOutlier,
    spans_s,
)
from core.keyring import KeyRing
from db import fraud_addresses, fraud_agents, fraud_lists, fraud_sources
from db.pg import Db

CLICKS: Final = """
SELECT c.click_id, c.class AS hit_class, c.referrer, c.networks
  FROM unnest($2::date[], $3::text[]) AS wanted (day, click_id) JOIN click c USING (day, click_id)
 WHERE c.program_id = $1
"""
# Of each no more than the latest: a member with very many would be counted for every one of them.
HISTORIES: Final = """
SELECT w.conversion_id, w.span_s, count(*) AS made,
       count(*) FILTER (WHERE before.state IN ('rejected', 'reversed')) AS taken_back
  FROM unnest($2::text[], $3::text[], $4::integer[], $5::text[])
       AS w (conversion_id, member_id, span_s, start)
 CROSS JOIN LATERAL (
       SELECT state FROM conversion
        WHERE program_id = $1 AND member_id = w.member_id AND id >= w.start
          AND id <= w.conversion_id
        ORDER BY id DESC LIMIT $6) AS before
 GROUP BY w.conversion_id, w.span_s
"""
SINCE: Final = """
SELECT id, created_at FROM member WHERE program_id = $1 AND id = ANY($2::text[])
"""
PAYEES: Final = """
SELECT own.member_id, count(DISTINCT other.member_id) AS members
  FROM payout_method own
  JOIN payout_method other USING (program_id, details_hash)
 WHERE own.program_id = $1 AND own.member_id = ANY($2::text[])
 GROUP BY own.member_id
"""
HOLDERS: Final = """
SELECT own.member_id, count(*) AS members
  FROM kyc own JOIN kyc other USING (program_id, document_hash)
 WHERE own.program_id = $1 AND own.member_id = ANY($2::text[])
 GROUP BY own.member_id
"""


class _Click(NamedTuple):
    hit_class: int | None
    referrer: str
    networks: list[Found]


_UNKNOWN: Final = _Click(None, "", [])


async def collect(
    db: Db,
    ring: KeyRing,
    program_id: str,
    found: Sequence[Conversion],
    conditions: Sequence[Condition],
) -> list[Facts]:
    """What these conditions need to know of stored conversions of members, in their order."""
    members = sorted({one.member_id for one in found if one.member_id is not None})
    known: dict[str, _Click] = {}
    if _has(conditions, ClickClass, Referrer, ListedNetwork):
        known = await _clicks(db, program_id, found)
    histories = await _histories(db, program_id, found, spans_s(conditions))
    windows = {one.window_s for one in conditions if isinstance(one, AddressVelocity)}
    near = await fraud_addresses.count(db, program_id, found, sorted(windows))
    agents = {one.window_s for one in conditions if isinstance(one, AgentBurst)}
    bursts = await fraud_agents.count(db, program_id, found, sorted(agents))
    keys = {one.key for one in conditions if isinstance(one, SourceOutlier)}
    rates = await fraud_sources.rates(db, program_id, found, keys)
    since: dict[str, dt.datetime] = {}
    if _has(conditions, NewMember):
        since = _by_member(await db.fetch(SINCE, program_id, members))
    payees: dict[str, int] = {}
    if _has(conditions, SharedPayoutMethod):
        payees = _by_member(await db.fetch(PAYEES, program_id, members))
    holders: dict[str, int] = {}
    if _has(conditions, SharedDocument):
        holders = _by_member(await db.fetch(HOLDERS, program_id, members))
    mails: dict[str, list[Found]] = {}
    if _has(conditions, DisposableMail):
        mails = await fraud_lists.of_mails(db, ring, program_id, members)
    made = []
    for one in found:
        click, member_id = known.get(one.own_click_id or "", _UNKNOWN), one.member_id or ""
        made.append(
            Facts(
                found=one,
                click_class=click.hit_class,
                referrer=click.referrer,
                member_since=since.get(member_id),
                histories=histories[one.id],
                from_address=near.get(one.id, {}),
                payees=payees.get(member_id, 1),
                holders=holders.get(member_id, 1),
                same_agent=bursts[one.own_click_id or ""],
                rates=rates[one.network_id] | rates[one.link_id or ""],
                mail_lists=mails.get(member_id, ()),
                networks=click.networks,
            )
        )
    return made


async def _clicks(db: Db, program_id: str, found: Sequence[Conversion]) -> dict[str, _Click]:
    names = {one.own_click_id for one in found}
    wanted = [clickid.decode(name) for name in sorted(filter(None, names))]
    days = [conversions.moment(one.ms).date() for one in wanted]
    rows = await db.fetch(CLICKS, program_id, days, [one.text for one in wanted])
    return {
        row["click_id"]: _Click(
            row["hit_class"],
            clicks.referrer_host(row["referrer"] or ""),
            [fraud_lists_.parse(one) for one in row["networks"] or ()],
        )
        for row in rows
    }


async def _histories(
    db: Db, program_id: str, found: Sequence[Conversion], spans: Sequence[int]
) -> defaultdict[str, dict[int, History]]:
    known: defaultdict[str, dict[int, History]] = defaultdict(dict)
    wanted = [
        (one.id, one.member_id, back_s, fraud_addresses.span(one, back_s).start)
        for one in found
        for back_s in spans
    ]
    if wanted:
        columns = [list(column) for column in zip(*wanted, strict=True)]
        for row in await db.fetch(HISTORIES, program_id, *columns, HISTORY_MAX):
            known[row["conversion_id"]][row["span_s"]] = History(row["made"], row["taken_back"])
    return known


def _by_member(rows: Iterable[asyncpg.Record]) -> dict[str, Any]:
    return {row[0]: row[1] for row in rows}


def _has(conditions: Sequence[Condition], *kinds: type[Condition]) -> bool:
    return any(isinstance(one, kinds) for one in conditions)
