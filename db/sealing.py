"""Sealing values for their columns, and whether the plain columns of 0.1.0 are still written.

A column is named `table.column`; that name with the row's id is the context that its values are
sealed for.
"""

from __future__ import annotations

import os
from typing import Final

from core import fields
from core.keyring import KeyRing
from db.pg import Db

IS_SEALING: Final = "SELECT is_sealing FROM installation"


def seal(ring: KeyRing, text: str, column: str, row_id: str) -> bytes:
    """The stored form of `text` in this column of this row."""
    return fields.seal(ring, text, f"{column}:{row_id}", os.urandom(fields.NONCE_BYTES))


def unseal(ring: KeyRing, stored: bytes, column: str, row_id: str) -> str:
    """What was sealed for this column of this row; BadField."""
    return fields.unseal(ring, stored, f"{column}:{row_id}")


async def is_sealing(db: Db) -> bool:
    """False from the pre phase of the migration to its post phase: processes of the old code may
    run, which read and write the plain columns, so the new code writes those too."""
    return bool(await db.fetchval(IS_SEALING))
