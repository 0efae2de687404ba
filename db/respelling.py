"""Bringing stored mail addresses, and the hashes that they are found by, to their present spelling.

Whoever types an address is looked for under the spelling that `core.contacts` has today. One that
was stored under another is opened, spelled anew and sealed again, by `stampgate keys reseal` and
after each pass of the workers' resealing. It goes by id, a portion at a time: it may be killed,
repeated, and run beside everything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import asyncpg

from core import contacts as spelling
from core import errors
from core.keyring import KeyRing
from db import contacts, operators, sealing
from db.pg import Db
from db.resealing import BEGIN, Position

PORTION: Final = 500

MEMBERS: Final = """
SELECT member_id AS id, program_id, sealed AS stored FROM member_contact
 WHERE channel = 'email' AND member_id > $1 ORDER BY member_id LIMIT $2
"""
OPERATORS: Final = """
SELECT id, program_id, email AS stored FROM operator WHERE id > $1 ORDER BY id LIMIT $2
"""

Respell = Callable[[Db, KeyRing, asyncpg.Record, spelling.Contact], Awaitable[bool]]


class Place(NamedTuple):
    """Where addresses are: `column` is what they are sealed for, `read` finds a portion, `respell`
    puts an address in the place of one that was read, if it is there still; ContactTaken.
    """

    column: str
    read: str
    respell: Respell


async def _of_member(db: Db, ring: KeyRing, row: asyncpg.Record, contact: spelling.Contact) -> bool:
    return await contacts.respell(db, ring, row["program_id"], row["id"], row["stored"], contact)


async def _of_operator(
    db: Db, ring: KeyRing, row: asyncpg.Record, contact: spelling.Contact
) -> bool:
    return await operators.respell(db, ring, row["program_id"], row["id"], row["stored"], contact)


PLACES: Final = (
    Place("member_contact.sealed", MEMBERS, _of_member),
    Place("operator.email", OPERATORS, _of_operator),
)


class Done(NamedTuple):
    """Where to go on, None at the end; how many addresses were spelled anew; and whose stay as they
    are, because in their present spelling they are somebody else's.
    """

    at: Position | None
    respelled: int
    taken: list[str]


async def run(db: Db, ring: KeyRing) -> Done:
    """Go through all of them; raises as `portion`, and the portions before are done."""
    at: Position | None = BEGIN
    respelled, taken = 0, list[str]()
    while at is not None:
        at, count, others = await portion(db, ring, at)
        respelled += count
        taken += others
    return Done(None, respelled, taken)


async def portion(db: Db, ring: KeyRing, at: Position) -> Done:
    """Look at a portion from a position on; BadField for a value that no key of the ring opens."""
    place = PLACES[at.part]
    rows = await db.fetch(place.read, at.after, PORTION)
    respelled, taken = 0, list[str]()
    for row in rows:
        address = sealing.unseal(ring, row["stored"], place.column, row["id"])
        contact = spelling.respelled(address)
        if contact.address == address:
            continue
        try:
            async with db.transaction():
                respelled += await place.respell(db, ring, row, contact)
        except errors.ContactTaken:
            taken.append(row["id"])
    return Done(_next(at, rows), respelled, taken)


def _next(at: Position, rows: list[asyncpg.Record]) -> Position | None:
    if rows:
        return Position(at.part, rows[-1]["id"])
    return Position(at.part + 1) if at.part + 1 < len(PLACES) else None
