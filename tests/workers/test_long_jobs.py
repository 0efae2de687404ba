"""Exports that take longer than any other job may, and the mail that says that one is there."""

from __future__ import annotations

import asyncio
import datetime as dt
import email
import email.policy
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import storage, tasks
from core.settings import Settings
from db import exports, outbox, personal, pg
from gateway import privacy as routes
from tests.conftest import RING
from tests.db.accounts import MEMBER, PROGRAM
from tests.workers.conftest import until
from tests.workers.test_privacy import document, member, perform_all, want_export
from workers import broker, jobs, loop, privacy
from workers.broker import Tools

__all__ = ["member"]

CLICKS = 1_000
# How often Dramatiq looks whether a job takes too long.
CHECKED_EVERY_S = 1.0
EXPORT_S = 2.6
FOLLOW = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id)
SELECT current_date, 'c' || number, $1, 'lnk_1', now(), 0, '{}', 'desktop', 'Linux', 'Lynx', false,
       $2
  FROM generate_series(1, $3::integer) AS number
"""


@pytest.fixture
async def busy(db: pg.Db, member: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A member who has followed links; to read all that is known takes `EXPORT_S` or longer."""
    await db.execute(FOLLOW, PROGRAM, member, CLICKS)
    monkeypatch.setattr(personal, "ROWS_A_TURN", 1)
    advance = exports.advance

    async def slowly(db: pg.Db, export_id: str, steps_done: int) -> None:
        await asyncio.sleep(EXPORT_S / len(personal.EXPORTED))
        await advance(db, export_id, steps_done)

    monkeypatch.setattr(exports, "advance", slowly)
    return member


async def sent_at(db: pg.Db) -> dt.datetime | None:
    """When the row was last sent, started or renewed."""
    found = await db.fetchval("SELECT sent_at FROM outbox WHERE task = 'export_member'")
    assert found is None or isinstance(found, dt.datetime)
    return found


async def until_state(db: pg.Db, state: str) -> None:
    async def is_so() -> bool:
        return (await exports.get(db, PROGRAM, "exp_1")).state == state

    await until(is_so)


@pytest.mark.parametrize("renew_s", [0.02, 3_600])
async def test_what_takes_long_says_so_and_is_not_begun_again(
    db: pg.Db, tools: Tools, member: str, monkeypatch: pytest.MonkeyPatch, renew_s: float
) -> None:
    monkeypatch.setattr(jobs, "RENEW_S", renew_s)
    goes_on, advance = asyncio.Event(), exports.advance

    async def waiting(db: pg.Db, export_id: str, steps_done: int) -> None:
        await goes_on.wait()
        await advance(db, export_id, steps_done)

    monkeypatch.setattr(exports, "advance", waiting)
    await want_export(db)
    row_id = await db.fetchval("SELECT id FROM outbox")
    work = asyncio.create_task(jobs.perform(tools, row_id, 0))
    await until_state(db, "running")
    began = await sent_at(db)
    assert began is not None
    if renew_s < 1:

        async def is_renewed() -> bool:
            return await sent_at(db) != began

        await until(is_renewed)
    # As long after its beginning as whatever says nothing is taken for lost.
    late_ms = int(began.timestamp() * 1_000) + 2 * outbox.RESEND_AFTER_S * 1_000 + 1
    await outbox.sweep(db, late_ms)
    assert (await sent_at(db) is None) is (renew_s > 1)
    goes_on.set()
    await work
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "done"


async def test_the_limit_of_other_jobs_does_not_end_it(
    settings: Settings, db: pg.Db, busy: str, step: loop.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "TIME_LIMIT_MS", 200)
    monkeypatch.setattr(jobs, "RENEW_S", 0.1)
    await want_export(db)
    worker = await asyncio.to_thread(jobs.start, settings, lambda: None)
    try:
        began = time.monotonic()
        await step(loop.now_ms() + 1_000)
        await until_state(db, "done")
        assert time.monotonic() - began > 2 * CHECKED_EVERY_S
    finally:
        await asyncio.to_thread(worker.stop)
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'export_member'") == 0
    said = msgspec.json.decode(document(settings).read_text())
    assert len(said["data"]["click"]) == CLICKS + 1


async def test_whoever_is_no_longer_the_latest_stops_and_leaves_the_row_alone(
    settings: Settings, db: pg.Db, tools: Tools, busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RENEW_S", 0.1)
    await want_export(db)
    row_id = await db.fetchval("SELECT id FROM outbox")
    work = asyncio.create_task(jobs.perform(tools, row_id, 0))
    await until_state(db, "running")
    other = await outbox.start(db, row_id, 1)
    assert isinstance(other, tasks.ExportMember)
    await work
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "running"
    assert await db.fetchval("SELECT attempts FROM outbox WHERE id = $1", row_id) == 2
    assert await db.fetchval("SELECT sent_at FROM outbox WHERE id = $1", row_id) is not None
    assert not document(settings).exists()


def test_only_what_renews_its_row_may_take_longer() -> None:
    long = {task for task, route in tasks.TASKS.items() if route.is_long}
    assert long == {tasks.ExportMember, tasks.EraseMember, tasks.Reclassify}
    assert broker.TIME_LIMIT_MS / 1000 < outbox.RESEND_AFTER_S < broker.LONG_LIMIT_MS / 1000
    assert 2 * jobs.RENEW_S < outbox.RESEND_AFTER_S


async def mails(settings: Settings) -> list[Any]:
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted(Path(settings.outbox_dir).glob("*.eml"))
    ]


@pytest.mark.parametrize(("language", "subject"), [("en", "Your data"), ("de", "Ihre Daten")])
async def test_the_member_is_told_with_a_link_that_opens_the_file(
    settings: Settings, db: pg.Db, tools: Tools, member: str, language: str, subject: str
) -> None:
    await db.execute("DELETE FROM notification")
    await exports.add(
        db, PROGRAM, MEMBER, export_id="exp_1", requested_by="test", language=language
    )
    for _ in range(2):
        await perform_all(db, tools)
    [mail] = await mails(settings)
    assert mail["To"].addresses[0].addr_spec == "asha@example.com"
    assert mail["Subject"].startswith(subject)
    text = mail.get_body().get_content()
    found = re.search(rf"{re.escape(settings.public_gateway_url)}(\S+)", text)
    assert found is not None
    ticket = found[1].removeprefix(storage.DOWNLOADS + "/")
    assert found[1] == f"{storage.DOWNLOADS}/{ticket}"
    key = storage.redeem(RING, ticket, loop.now_ms() // 1000 + privacy.URL_TTL_S - 60)
    assert key == exports.storage_key(PROGRAM, "exp_1")
    assert routes.URL_TTL_S < privacy.URL_TTL_S
    # What the mail said is not kept.
    assert await db.fetchval("SELECT variables FROM notification") is None


async def test_a_member_without_a_proved_address_is_not_written_to(
    db: pg.Db, tools: Tools, member: str
) -> None:
    await db.execute("DELETE FROM notification")
    await db.execute("UPDATE member_contact SET verified_at = NULL")
    await want_export(db)
    await perform_all(db, tools)
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "done"
    assert await db.fetchval("SELECT count(*) FROM notification") == 0


async def test_a_mail_is_sent_once_however_often_the_last_step_is_taken(
    db: pg.Db, tools: Tools, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.execute("DELETE FROM notification")
    await want_export(db)
    row_id = await db.fetchval("SELECT id FROM outbox")

    async def away(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "done", away)
        await jobs.perform(tools, row_id, 0)
    assert await db.fetchval("SELECT count(*) FROM notification") == 0
    await jobs.perform(tools, row_id, 1)
    assert await db.fetchval("SELECT count(*) FROM notification") == 1


async def test_any_other_job_is_cut_short(
    settings: Settings, db: pg.Db, step: loop.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "TIME_LIMIT_MS", 200)
    ends: list[str] = []

    async def endless(*_: object) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ends.append("cut short")
            raise

    monkeypatch.setattr(jobs, "ACTIONS", {tasks.DeliverWebhook: endless})
    await outbox.add(db, tasks.DeliverWebhook("whd_1"))
    worker = await asyncio.to_thread(jobs.start, settings, lambda: None)
    try:
        await step(loop.now_ms() + 1_000)

        async def has_ended() -> bool:
            return bool(ends)

        await until(has_ended)
    finally:
        await asyncio.to_thread(worker.stop)
    assert await db.fetchval("SELECT attempts FROM outbox") == 1
