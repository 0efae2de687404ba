"""Resealing in the background: when it begins, how far it is, and what keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from core import contacts as contacts_
from core import keyring
from core.settings import Settings
from db import contacts, members, pg, resealing, respelling
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db
from workers.reseal import AGAIN_MS, Resealer

NOW_MS = 1_800_000_000_000
ROTATED = keyring.rotate(RING, "field", NOW_MS, bytes(range(32, 64)))
COUNT = 5


@pytest.fixture
async def people(db: Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    for number in range(COUNT):
        member_id = f"mem_{number}"
        await members.add(db, RING, PROGRAM, member_id, members.NewMember(name="Asha"))
        contact = contacts_.email(f"m{number}@example.com")
        await contacts.put(db, RING, PROGRAM, member_id, contact)


def write(settings: Settings, ring: keyring.KeyRing) -> None:
    Path(settings.keyring_file).write_bytes(keyring.dump(ring))


def opened(settings: Settings, pool: pg.Pool) -> Resealer:
    return Resealer(Path(settings.keyring_file), pool)


def left() -> float | None:
    return REGISTRY.get_sample_value("stampgate_stale_fields")


async def test_it_begins_in_a_process_that_began_with_the_new_key(
    settings: Settings, pool: pg.Pool, db: Db, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "PORTION", 2)
    before = opened(settings, pool)
    assert await before.step(NOW_MS) == 0
    write(settings, ROTATED)
    assert await before.step(NOW_MS) == 0
    assert {use.key for use in await resealing.used(db)} == {RING.active_field}
    resealer = opened(settings, pool)
    seen = []
    while await resealer.step(NOW_MS):
        seen.append(left())
    assert max(value or 0 for value in seen) >= 2 * COUNT - 2
    assert left() == 0
    assert {use.key for use in await resealing.used(db)} == {ROTATED.active_field}
    alone = keyring.retire(ROTATED, "field", RING.active_field)
    for number in range(COUNT):
        contact = contacts_.email(f"m{number}@example.com")
        found = await contacts.find(db, alone, PROGRAM, contact)
        assert found is not None
        assert found.member_id == f"mem_{number}"


async def test_what_is_written_late_under_the_old_key_is_found_later(
    settings: Settings, pool: pg.Pool, db: Db, people: None
) -> None:
    write(settings, ROTATED)
    resealer = opened(settings, pool)
    while await resealer.step(NOW_MS):
        pass
    await members.add(db, RING, PROGRAM, "mem_late", members.NewMember(name="Late"))
    assert await resealer.step(NOW_MS + 1_000) == 0
    assert await resealer.step(NOW_MS + AGAIN_MS) == 1
    while await resealer.step(NOW_MS + AGAIN_MS):
        pass
    assert {use.key for use in await resealing.used(db)} == {ROTATED.active_field}


async def test_a_value_that_no_key_opens_keeps_it_and_not_the_process(
    settings: Settings, pool: pg.Pool, db: Db, people: None, caplog: pytest.LogCaptureFixture
) -> None:
    lone = keyring.retire(ROTATED, "field", RING.active_field)
    write(settings, keyring.rotate(lone, "field", NOW_MS + 1, bytes(32)))
    resealer = opened(settings, pool)
    while await resealer.step(NOW_MS):
        pass
    assert "resealing has to wait" in caplog.text
    write(settings, ROTATED)


async def test_addresses_are_spelled_anew_once_all_are_resealed(
    settings: Settings,
    pool: pg.Pool,
    db: Db,
    people: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(respelling, "PORTION", 2)
    for number, address in enumerate(("a@xn--bcher-kva.example", "a@bücher.example")):
        contact = contacts_.Contact("email", address)
        await contacts.put(db, RING, PROGRAM, f"mem_{number}", contact)
    contact = contacts_.Contact("email", "b@xn--bcher-kva.example")
    await contacts.put(db, RING, PROGRAM, "mem_4", contact)
    write(settings, ROTATED)
    resealer = opened(settings, pool)
    with caplog.at_level("INFO"):
        while await resealer.step(NOW_MS):
            pass
    alone = keyring.retire(ROTATED, "field", RING.active_field)
    for name, member_id in (("a", "mem_1"), ("b", "mem_4")):
        typed = contacts_.email(f"{name}@bücher.example")
        found = await contacts.find(db, alone, PROGRAM, typed)
        assert found is not None
        assert found.member_id == member_id
    assert "mem_0 keeps a mail address" in caplog.text
    assert "1 mail addresses were brought" in caplog.text
