"""A database of 0.1.0 comes to the present while the old code goes on running on it.

`statements-0.1.0.json` has every SQL statement of that release, and whose credentials run it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest

from core import errors
from db import deliveries, flush, idempotency, members, migrate, pg, resealing, sealing, webhooks
from db.members import NewMember
from deploy.local.postgres import DatabaseUrls
from tests import statements
from tests.conftest import RING, WORKER
from tests.databases import Databases

Db = pg.Db

PROGRAM = "prg_01h455vb4pex5vsknk084sn02q"
SECRET, NEXT = "whsec_" + "A" * 43 + "=", "whsec_" + "B" * 43 + "="
PERSON: members.Attributes = {"city": "Pune"}


class Statement(msgspec.Struct, frozen=True):
    module: str
    name: str
    role: str
    sql: str


OLD = msgspec.json.decode(
    Path(__file__).with_name("statements-0.1.0.json").read_bytes(), type=list[Statement]
)


class Old(NamedTuple):
    """The old code, as far as it speaks to the database."""

    db: Db

    async def run(self, module: str, name: str, *arguments: Any) -> Any:
        [sql] = [one.sql for one in OLD if (one.module, one.name) == (f"db.{module}", name)]
        return await self.db.fetchrow(sql, *arguments)

    async def add(
        self, member_id: str, name: str | None, attributes: str = '{"city": "Pune"}'
    ) -> None:
        await self.run("members", "INSERT", PROGRAM, [member_id], [member_id], [name], [attributes])

    async def add_endpoint(self) -> None:
        new = ("whk_1", PROGRAM, "https://a.example", ["award.created"], SECRET, None)
        await self.run("webhooks", "INSERT", *new)

    async def shown(self, member_id: str) -> tuple[str | None, Any]:
        row = await self.run("members", "SELECT", PROGRAM, member_id)
        return row["name"], msgspec.json.decode(row["attributes"])


@pytest.fixture
async def urls(databases: Databases) -> AsyncIterator[DatabaseUrls]:
    """A database as 0.1.0 made it, with a program."""
    name = f"stampgate_upgrade_{WORKER}"
    await databases.create(name)
    made = databases.urls(name)
    first = migrate.migrations()[0]
    db = await asyncpg.connect(made.migrate)
    await db.execute(migrate.BOOK)
    await db.execute(first.sql)
    await db.execute(migrate.RECORD, first.name, first.checksum)
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await db.close()
    yield made
    await databases.drop(name)


@pytest.fixture
async def db(urls: DatabaseUrls) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(urls.migrate)
    yield connection
    await connection.close()


@pytest.fixture
def old(db: Db) -> Old:
    return Old(db)


def ignore(_: int) -> None:
    """Who does not care for progress."""


async def secrets_of(db: Db, old: Old) -> tuple[list[str], list[str]]:
    """What the new code and the old code sign the newest delivery with."""
    event = webhooks.Event(PROGRAM, webhooks.TEST_EVENT, "evt_1", 1_700_000_000_000, {})
    await webhooks.queue_test(db, PROGRAM, "whk_1", event)
    delivery_id = await db.fetchval("SELECT id FROM webhook_delivery ORDER BY id DESC LIMIT 1")
    outgoing = await deliveries.load(db, RING, delivery_id)
    assert outgoing is not None
    return outgoing.secrets, (await old.run("deliveries", "LOAD", delivery_id))["secrets"]


@pytest.mark.parametrize("role", ["app", "flush"])
async def test_every_statement_of_the_old_code_runs_after_the_pre_phase(
    urls: DatabaseUrls, role: str
) -> None:
    await migrate.migrate(urls.migrate, phase="pre")
    db = await asyncpg.connect(getattr(urls, role))
    if role == "flush":
        await db.execute(flush.STAGE)
    mine = [one for one in OLD if one.role == role]
    refused = {(one.module, one.name): await statements.refused(db, one.sql) for one in mine}
    await db.close()
    assert len(mine) > 20
    assert {place: why for place, why in refused.items() if why} == {}


async def test_what_the_old_code_wrote_is_read_and_changed(
    db: Db, old: Old, urls: DatabaseUrls
) -> None:
    await old.add("mem_1", "Asha")
    await old.add("mem_2", None, "{}")
    await old.run(
        "webhooks", "INSERT", "whk_1", PROGRAM, "https://a.example", ["award.created"], SECRET, None
    )
    await migrate.migrate(urls.migrate)
    found = await members.page(db, RING, PROGRAM, after="", limit=10)
    assert [(one.name, one.attributes) for one in found] == [("Asha", PERSON), (None, {})]
    changed = await members.change(db, RING, PROGRAM, "mem_1", {"name": "Asha V."})
    assert (changed.name, changed.attributes) == ("Asha V.", PERSON)
    row = await db.fetchrow("SELECT name, attributes FROM member WHERE id = 'mem_1'")
    assert tuple(row or ()) == (None, "{}")
    await webhooks.rotate(db, RING, PROGRAM, "whk_1", NEXT, 2)
    assert (await secrets_of(db, old))[0] == [NEXT, SECRET]


async def test_old_and_new_code_see_what_the_other_writes_until_the_post_phase(
    db: Db, old: Old, urls: DatabaseUrls
) -> None:
    await migrate.migrate(urls.migrate, phase="pre")
    await members.add(db, RING, PROGRAM, "mem_1", NewMember(name="Asha", attributes=PERSON))
    assert await old.shown("mem_1") == ("Asha", PERSON)
    await old.run("members", "UPDATE", "mem_1", "a", "Ben", '{"city": "Goa"}')
    seen = await members.get(db, RING, PROGRAM, "mem_1")
    assert (seen.name, seen.attributes) == ("Ben", {"city": "Goa"})
    await members.change(db, RING, PROGRAM, "mem_1", {"name": "Cy"})
    assert await old.shown("mem_1") == ("Cy", {"city": "Goa"})
    new = webhooks.NewEndpoint(url="https://a.example", events=["award.created"])
    await webhooks.add(db, RING, PROGRAM, "whk_1", new, SECRET)
    assert await secrets_of(db, old) == ([SECRET], [SECRET])
    await old.run("webhooks", "ROTATE", PROGRAM, "whk_1", NEXT, 2)
    await db.execute("DELETE FROM webhook_delivery")
    assert await secrets_of(db, old) == ([NEXT, SECRET], [NEXT, SECRET])


async def test_the_old_code_repeats_answers_of_the_new_until_the_post_phase(
    db: Db, old: Old, urls: DatabaseUrls
) -> None:
    await migrate.migrate(urls.migrate, phase="pre")
    scope = idempotency.Scope(PROGRAM, "app", "key", "create_member", b"hash")
    answer = idempotency.Answer(201, b'{"name":"Asha"}')
    await idempotency.finish(db, RING, scope, answer)
    row = await old.run("idempotency", "SELECT", *scope[:3])
    assert row["answer"] == answer.body
    await migrate.migrate(urls.migrate)
    assert await idempotency.begin(db, RING, scope) == answer


async def test_nothing_is_sealed_away_from_the_old_code(db: Db, urls: DatabaseUrls) -> None:
    await migrate.migrate(urls.migrate, phase="pre")
    assert not await sealing.is_sealing(db)
    with pytest.raises(errors.Conflict, match="post"):
        await resealing.run(db, RING, ignore)


async def test_resealing_leaves_nothing_in_the_clear(db: Db, old: Old, urls: DatabaseUrls) -> None:
    await old.add("mem_1", "Asha")
    await old.run(
        "webhooks", "INSERT", "whk_1", PROGRAM, "https://a.example", ["award.created"], SECRET, None
    )
    await migrate.migrate(urls.migrate, phase="pre")
    await members.add(db, RING, PROGRAM, "mem_2", NewMember(name="Ben", attributes=PERSON))
    await migrate.migrate(urls.migrate)
    assert await resealing.stale(db, RING) == 3
    assert await resealing.run(db, RING, ignore) == 3
    assert await resealing.stale(db, RING) == 0
    assert await resealing.run(db, RING, ignore) == 0
    for table in ("member", "webhook_endpoint"):
        text = await db.fetchval(f"SELECT string_agg(t::text, '') FROM {table} AS t")
        assert not any(word in text for word in ("Asha", "Ben", "Pune", "whsec_"))
    found = await members.page(db, RING, PROGRAM, after="", limit=10)
    assert [(one.name, one.attributes) for one in found] == [("Asha", PERSON), ("Ben", PERSON)]
    assert (await secrets_of(db, old))[0] == [SECRET]
