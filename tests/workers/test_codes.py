"""From the wish for a code to the message that has it, through the real tasks."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from core.contacts import Contact
from core.programs import ProgramSettings
from core.settings import Settings
from db import codes, contacts, members, outbox, programs
from db.codes import Aim, Limits
from db.members import NewMember
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db, soon_ms
from workers import jobs, loop
from workers.broker import Tools

MEMBER = "mem_1"
EMAIL = Contact("email", "asha@example.com")
PHONE = Contact("phone", "+919876543210")
SIGN_IN = Aim(PROGRAM, "sign_in", EMAIL)


@pytest.fixture(autouse=True)
async def member(db: Db) -> None:
    settings = ProgramSettings()
    await programs.add(db, PROGRAM, name="Tea", currency="INR", time_zone="UTC", settings=settings)
    await members.add(db, RING, PROGRAM, MEMBER, NewMember(name="Asha"))
    for contact in (EMAIL, PHONE):
        await contacts.put(db, RING, PROGRAM, MEMBER, contact, is_verified=True)


async def ask(db: Db, aim: Aim, now_ms: int, language: str = "en") -> None:
    async with db.transaction():
        limits = Limits(0, 0)
        await codes.ask(db, RING, aim, now_ms, language=language, source="", limits=limits)


async def perform_all(tools: Tools, db: Db) -> int:
    """Perform what waits, and what comes of it; returns how many tasks."""
    names, performed = ["send_code", "send_notification"], 0
    while tickets := await outbox.claim(db, soon_ms(), names, 100):
        for ticket in tickets:
            await jobs.perform(tools, ticket.id, ticket.attempt)
        performed += len(tickets)
    return performed


def delivered(settings: Settings) -> list[str]:
    """What the outbox folder holds, the oldest first."""
    folder = Path(settings.outbox_dir)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path.read_text() for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]


@pytest.mark.parametrize("contact", [EMAIL, PHONE], ids=["email", "phone"])
async def test_the_code_that_arrives_is_the_one_that_is_right(
    tools: Tools, db: Db, settings: Settings, contact: Contact
) -> None:
    now_ms = loop.now_ms()
    aim = SIGN_IN._replace(contact=contact)
    await ask(db, aim, now_ms)
    assert await perform_all(tools, db) == 2
    (message,) = delivered(settings)
    assert contact.address in message
    found = re.findall(r"(?<![\d+])\d{6}(?!\d)", message)
    redeemed = {await codes.redeem(db, RING, aim, code, now_ms) for code in sorted(set(found))}
    assert MEMBER in redeemed
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0
    # What must stay secret is wiped with its sending.
    assert await db.fetchval("SELECT variables FROM notification") is None


async def test_a_message_is_in_the_language_of_the_one_who_asked(
    tools: Tools, db: Db, settings: Settings
) -> None:
    aim = SIGN_IN._replace(contact=PHONE)
    await ask(db, aim, loop.now_ms(), "de-at")
    await perform_all(tools, db)
    (message,) = delivered(settings)
    assert "Minuten" in message


async def test_nothing_is_sent_to_nobody(tools: Tools, db: Db, settings: Settings) -> None:
    nobody = SIGN_IN._replace(contact=Contact("email", "nobody@example.com"))
    await ask(db, nobody, loop.now_ms())
    assert await perform_all(tools, db) == 1
    assert await db.fetchval("SELECT count(*) FROM notification") == 0
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_task_that_is_started_twice_sends_one_code(tools: Tools, db: Db) -> None:
    await ask(db, SIGN_IN, loop.now_ms())
    (ticket,) = await outbox.claim(db, soon_ms(), ["send_code"], 10)
    await asyncio.gather(
        *(jobs.perform(tools, ticket.id, attempt) for attempt in (0, 0, 1, 1)),
    )
    assert await db.fetchval("SELECT count(*) FROM notification") == 1
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'send_code'") == 0


async def test_a_code_whose_time_is_over_is_not_sent(tools: Tools, db: Db) -> None:
    await ask(db, SIGN_IN, loop.now_ms() - 300_000)
    assert await perform_all(tools, db) == 1
    assert await db.fetchval("SELECT count(*) FROM notification") == 0
