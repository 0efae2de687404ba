"""A program's lists of networks and of mail domains. A list is replaced as a whole."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
import msgspec

from core import disposable, errors, fields, fraud_lists
from core.fraud_lists import Entry, Found, Kind
from core.keyring import KeyRing
from db.pg import Db

# The name's lock, so that two who replace a list leave one of the two.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('fraud_list:' || $1, 0))"
PUT: Final = """
INSERT INTO fraud_list (program_id, name, kind, entries, updated_by, updated_at)
SELECT $1, $2, $3, $4, $5, $6
 WHERE $7 > (SELECT count(*) FROM fraud_list WHERE program_id = $1 AND name <> $2)
    ON CONFLICT (program_id, name) DO UPDATE
   SET entries = excluded.entries, updated_by = excluded.updated_by,
       updated_at = excluded.updated_at
 WHERE fraud_list.kind = excluded.kind
RETURNING name, kind, entries, updated_by, updated_at
"""
SELECT: Final = """
SELECT name, kind, entries, updated_by, updated_at FROM fraud_list
 WHERE program_id = $1 AND ($2 = '' OR name = $2) ORDER BY name
"""
DELETE: Final = "DELETE FROM fraud_list WHERE program_id = $1 AND name = $2"
CLEAR_NETWORKS: Final = "DELETE FROM listed_network WHERE program_id = $1 AND name = $2"
CLEAR_DOMAINS: Final = "DELETE FROM listed_domain WHERE program_id = $1 AND name = $2"
FILL_NETWORKS: Final = """
INSERT INTO listed_network (program_id, name, network, label)
SELECT $1, $2, value::cidr, label FROM unnest($3::text[], $4::text[]) AS item (value, label)
"""
FILL_DOMAINS: Final = """
INSERT INTO listed_domain (program_id, name, domain, label)
SELECT $1, $2, value, label FROM unnest($3::text[], $4::text[]) AS item (value, label)
"""
CONTACTS: Final = """
SELECT member_id, sealed FROM member_contact
 WHERE program_id = $1 AND member_id = ANY($2::text[]) AND channel = 'email'
"""
DOMAINS: Final = """
SELECT domain, name, label FROM listed_domain WHERE program_id = $1 AND domain = ANY($2::text[])
"""


class FraudList(msgspec.Struct, frozen=True, kw_only=True):
    """A list, how many entries it has, and who has said so last."""

    name: str
    kind: Kind
    entries: int
    updated_by: str
    updated_at: dt.datetime


async def put(
    db: Db,
    program_id: str,
    name: str,
    kind: Kind,
    entries: Sequence[Entry],
    by: str,
    at: dt.datetime,
) -> FraudList:
    """Replace a list, or begin it, in the caller's transaction; ProgramNotFound, Conflict when it
    is of another kind or when there are too many."""
    await db.execute(LOCK, program_id)
    said = (kind, len(entries), by, at, fraud_lists.LISTS_MAX)
    try:
        row = await db.fetchrow(PUT, program_id, name, *said)
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    if row is None:
        raise errors.Conflict(
            f"The list is of another kind, or there are {fraud_lists.LISTS_MAX} already."
        )
    await _clear(db, program_id, name)
    columns = [one.value for one in entries], [one.label for one in entries]
    await db.execute(
        FILL_NETWORKS if kind == "networks" else FILL_DOMAINS, program_id, name, *columns
    )
    return FraudList(**row)


async def delete(db: Db, program_id: str, name: str) -> None:
    """Forget a list; FraudListNotFound."""
    if await db.execute(DELETE, program_id, name) == "DELETE 0":
        raise errors.FraudListNotFound
    await _clear(db, program_id, name)


async def find(db: Db, program_id: str, name: str = "") -> list[FraudList]:
    """All lists of a program, by their names, or the one of this name."""
    return [FraudList(**row) for row in await db.fetch(SELECT, program_id, name)]


async def of_mails(
    db: Db, ring: KeyRing, program_id: str, member_ids: Sequence[str]
) -> dict[str, list[Found]]:
    """In which lists the domains of these members' mail addresses stand, or those above them."""
    rows = await db.fetch(CONTACTS, program_id, member_ids)
    domains = {
        row["member_id"]: domain
        for row in rows
        if (domain := _domain(ring, row["member_id"], row["sealed"])) is not None
    }
    wanted = {one for domain in domains.values() for one in fraud_lists.within(domain)}
    listed: defaultdict[str, list[Found]] = defaultdict(list)
    for domain in wanted & disposable.DOMAINS:
        listed[domain].append(Found(fraud_lists.BUILT_IN, ""))
    for row in await db.fetch(DOMAINS, program_id, sorted(wanted)):
        listed[row["domain"]].append(Found(row["name"], row["label"]))
    return {
        member_id: _once(found for one in fraud_lists.within(domain) for found in listed[one])
        for member_id, domain in domains.items()
    }


def _once(found: Iterable[Found]) -> list[Found]:
    """Of each list the closest."""
    closest: dict[str, Found] = {}
    for one in found:
        closest.setdefault(one.name, one)
    return list(closest.values())


def _domain(ring: KeyRing, member_id: str, sealed: bytes) -> str | None:
    try:
        address = fields.unseal(ring, sealed, f"member_contact.sealed:{member_id}")
    except errors.BadField:
        # One bad row is not to keep the reports of all others waiting.
        return None
    return address.rpartition("@")[2]


async def _clear(db: Db, program_id: str, name: str) -> None:
    await db.execute(CLEAR_NETWORKS, program_id, name)
    await db.execute(CLEAR_DOMAINS, program_id, name)
