"""Messages as rows: added once, sealed, and only with the caller's transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from core import errors, fields, ids
from db import notifications, pg
from db.notifications import New
from tests.conftest import RING
from tests.db.conftest import PROGRAM, Db


def new(dedupe_key: str = "otp:1", **changes: Any) -> New:
    complete = New(
        program_id=PROGRAM,
        recipient_kind="member",
        recipient_id="mem_1",
        channel="email",
        address="asha@example.com",
        template="sign_in_code",
        language="en",
        variables={"code": "482913", "minutes": 5},
        dedupe_key=dedupe_key,
    )
    return msgspec.structs.replace(complete, **changes)


async def test_a_message_is_added_with_its_task(db: Db) -> None:
    notification_id = await notifications.add(db, RING, new())
    assert notification_id is not None
    assert ids.is_id(notification_id, "notification")
    [row] = await db.fetch("SELECT task, payload FROM outbox")
    assert row["task"] == "send_notification"
    assert msgspec.json.decode(row["payload"]) == {"notification_id": notification_id}


async def test_what_a_message_says_and_to_whom_is_sealed(db: Db) -> None:
    await notifications.add(db, RING, new())
    row = await db.fetchrow("SELECT * FROM notification")
    assert row is not None
    assert b"asha" not in bytes(row["address"])
    assert b"482913" not in bytes(row["variables"])
    address = fields.unseal(RING, row["address"], f"notification.address:{row['id']}")
    assert address == "asha@example.com"
    variables = fields.unseal(RING, row["variables"], f"notification.variables:{row['id']}")
    assert msgspec.json.decode(variables) == {"code": "482913", "minutes": 5}


async def test_a_message_that_is_rolled_back_was_never_wanted(db: Db) -> None:
    transaction = db.transaction()
    await transaction.start()
    await notifications.add(db, RING, new())
    await transaction.rollback()
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0
    assert await db.fetchval("SELECT count(*) FROM notification") == 0


async def test_a_dedupe_key_counts_once_in_its_program(db: Db) -> None:
    assert await notifications.add(db, RING, new()) is not None
    assert await notifications.add(db, RING, new(language="de")) is None
    assert await notifications.add(db, RING, new("otp:2")) is not None
    assert await notifications.add(db, RING, new(program_id=None)) is not None
    assert await notifications.add(db, RING, new(program_id=None)) is None
    assert await db.fetchval("SELECT count(*) FROM outbox") == 3


async def test_of_many_at_a_time_under_one_key_one_is_added(db: Db, pool: pg.Pool) -> None:
    async def add() -> str | None:
        async with pool.acquire() as one:
            return await notifications.add(one, RING, new())

    added = await asyncio.gather(*(add() for _ in range(20)))
    assert sum(one is not None for one in added) == 1
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"variables": {"code": "1"}}, "minutes"),
        ({"variables": {"code": "1", "minutes": 5, "name": "x"}}, "name"),
        ({"template": "nothing"}, "nothing"),
    ],
)
async def test_variables_that_a_template_has_not_are_refused(
    db: Db, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(errors.BadTemplate, match=word):
        await notifications.add(db, RING, new(**changes))
    assert await db.fetchval("SELECT count(*) FROM notification") == 0
