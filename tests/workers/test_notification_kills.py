"""The workers' process, killed between every two steps of sending a mail: never sent twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from core.settings import Settings
from db import dead_letters, notifications
from db.notifications import New
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db, Start, soon_ms, until
from tests.workers.mailservers import Script, scripted
from tests.workers.test_jobs import (
    LATER_MS,
    all_done,
    holding,
    is_nobody_waiting,
    is_someone_waiting,
    kill,
)
from workers import loop

LOCK = "SELECT FROM notification FOR UPDATE"


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    async with scripted() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, script: Script) -> Settings:
    return replace(
        settings, mail_url=f"smtp://127.0.0.1:{script.port}?tls=off", mail_timeout_s=30.0
    )


@pytest.fixture(autouse=True)
async def added(db: Db) -> None:
    """One message that waits."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    new = New(
        program_id=PROGRAM,
        recipient_kind="member",
        recipient_id="mem_1",
        channel="email",
        address="asha@example.com",
        template="password_changed",
        language="en",
        variables={},
        dedupe_key="1",
    )
    await notifications.add(db, RING, new)


async def state(db: Db) -> str:
    return str(await db.fetchval("SELECT state FROM notification"))


async def recover(db: Db, start: Start, step: loop.Step) -> None:
    """A new worker, and a relay that finds the row lost."""
    await until(lambda: is_nobody_waiting(db))
    await start("jobs")
    assert await step(soon_ms() + LATER_MS) == 1
    await until(lambda: all_done(db))


async def test_killed_before_the_message_is_read_it_is_sent_once(
    db: Db, database: DatabaseUrls, script: Script, start: Start, step: loop.Step
) -> None:
    async with holding(database.migrate, "LOCK TABLE notification"):
        process = await start("jobs")
        await step(soon_ms())
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    await recover(db, start, step)
    assert (await state(db), script.texts) == ("sent", 1)


@pytest.mark.parametrize("word", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_killed_before_the_text_it_is_sent_once(
    db: Db, script: Script, start: Start, step: loop.Step, word: str
) -> None:
    answer = script.answers.get(word, "250 OK")
    script.answers[word] = ""
    process = await start("jobs")
    await step(soon_ms())

    async def has_come_so_far() -> bool:
        return any(line.startswith(word) for line in script.heard)

    await until(has_come_so_far)
    await kill(process)
    assert await state(db) == "queued"
    script.answers[word] = answer
    await recover(db, start, step)
    assert (await state(db), script.texts) == ("sent", 1)


async def test_killed_while_it_is_written_down_that_it_is_being_sent_nothing_is_sent(
    db: Db, database: DatabaseUrls, script: Script, start: Start, step: loop.Step
) -> None:
    async with holding(database.migrate, LOCK):
        process = await start("jobs")
        await step(soon_ms())
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    assert script.texts == 0
    await recover(db, start, step)
    # PostgreSQL may have done what the dead process asked for: then nobody can know.
    assert (await state(db), script.texts) in {("sent", 1), ("unknown", 0)}


async def test_killed_before_the_answer_to_the_text_it_is_unknown_and_not_sent_again(
    db: Db, script: Script, start: Start, step: loop.Step
) -> None:
    script.answers["TEXT"] = ""
    process = await start("jobs")
    await step(soon_ms())

    async def is_out() -> bool:
        return script.texts == 1

    await until(is_out)
    await kill(process)
    assert await state(db) == "sending"
    script.answers["TEXT"] = "250 OK"
    await recover(db, start, step)
    assert (await state(db), script.texts) == ("unknown", 1)
    assert await dead_letters.counts(db) == {"send_notification": 1}


async def test_killed_before_the_outcome_is_written_it_is_unknown_and_not_sent_again(
    db: Db, database: DatabaseUrls, script: Script, start: Start, step: loop.Step
) -> None:
    script.answers["TEXT"] = ""
    process = await start("jobs")
    await step(soon_ms())

    async def is_out() -> bool:
        return script.texts == 1

    await until(is_out)
    async with holding(database.migrate, LOCK):
        script.say("250 OK")
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    script.answers["TEXT"] = "250 OK"
    await recover(db, start, step)
    assert (await state(db), script.texts) == ("unknown", 1)
