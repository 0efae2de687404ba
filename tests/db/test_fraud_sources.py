"""Rules about where conversions come from: bursts of one user agent, and sources that stand out."""

from __future__ import annotations

import datetime as dt
import itertools

import asyncpg
import pytest

from core import clickid, conversions, ids
from core.fraud_rules import AgentBurst, SourceOutlier
from db import fraud_sources, networks, pg
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import test_fraud
from tests.db.conftest import PROGRAM
from tests.db.test_conversions import LINK, MEMBER, NEW, NOW, apply, report
from tests.db.test_fraud import NOW_MS, add, another_program, cases

network = test_fraud.network
click = test_fraud.click

CLICK = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id, user_agent)
VALUES ($1, $2, $3, $4, $5, 0, '{}', 'desktop', 'Linux', 'Firefox', false, $6, $7)
"""
SHOP = "INSERT INTO merchant (id, program_id, name) VALUES ('mrc_1', $1, 'Tea')"
PLACE = """
WITH made AS (INSERT INTO link (id, program_id, slug, config) VALUES ($2, $1, $2, '{}'))
INSERT INTO click_daily (link_id, day, class, device, country, variant, program_id, clicks)
VALUES ($2, $3, 0, 'desktop', '', '', $1, $4), ($2, $3, 2, 'desktop', '', '', $1, 9999),
       ($2, $3 - 40, 0, 'desktop', '', '', $1, 9999)
"""
OFFER = """
INSERT INTO offer (id, program_id, merchant_id, link_id, network_id, title, kind, state,
                   category_ids, is_hot, rank, config, search)
VALUES ($2, $1, 'mrc_1', $3, $4, 'Tea', 'cashback', 'active', '{}', false, 0, '{}', '')
"""
OTHER_LINK = "lnk_01h455vb4pex5vsknk084sn02r"
_numbers = itertools.count(1)


async def seen(
    owner: asyncpg.Connection[asyncpg.Record],
    age_s: float,
    agent: str | None = "curl",
    link: str = LINK,
    program: str = PROGRAM,
) -> str:
    """A click of the member so long before 115 s past a midnight."""
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 7)
    minter.sequence = next(_numbers)
    text = minter.mint(NOW_MS - 86_285_000 - int(age_s * 1000), program, ids.link_bits(link))
    at = conversions.moment(clickid.decode(text).ms)
    await owner.execute(CLICK, at.date(), text, program, link, at, MEMBER, agent)
    return text


async def test_a_burst_is_of_one_agent_on_one_link_within_the_window(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await add(db, AgentBurst(most=2, window_s=60))
    await another_program(db)
    owner = await asyncpg.connect(database.migrate)
    await seen(owner, 181)
    for _ in range(2):
        await seen(owner, 130, "firefox")
        await seen(owner, 130, link=OTHER_LINK)
        await seen(owner, 130, program="prg_2")
    early, second = await seen(owner, 130), await seen(owner, 120)
    unknown = [await seen(owner, 110, None) for _ in range(3)]
    third = await seen(owner, 101)
    late = await seen(owner, 59)
    await owner.close()
    texts = [early, second, unknown[-1], third, late]
    await apply(db, *(report(f"t{n}", click_id=text) for n, text in enumerate(texts)))
    [case] = await cases(db)
    held = await db.fetchval("SELECT click_id FROM conversion WHERE id = $1", case.conversion_id)
    assert held == third
    assert case.hits[0].reason == (
        "its click was click 3 of one user agent on its link within 60 s"
    )


async def history(db: pg.Db, owner: asyncpg.Connection[asyncpg.Record]) -> tuple[str, str]:
    """Of 60 conversions on a link 20 were approved, of 100 on another one all; 5 are pending."""
    own, other = await seen(owner, 60), await seen(owner, 60, link=OTHER_LINK)
    said = [report(f"a{n}", click_id=own) for n in range(20)]
    said += [report(f"r{n}", click_id=own, status="rejected") for n in range(40)]
    said += [report(f"o{n}", click_id=other) for n in range(100)]
    said += [report(f"p{n}", click_id=own, status="pending") for n in range(5)]
    await apply(db, *said)
    return own, other


async def test_a_source_with_few_approvals_stands_out_once_it_was_counted(
    db: pg.Db, database: DatabaseUrls
) -> None:
    owner = await asyncpg.connect(database.migrate)
    own, other = await history(db, owner)
    await owner.close()
    await add(db, SourceOutlier(of="approvals", by="link"))
    assert await apply(db, report("before", click_id=own)) == ["accepted"]
    await fraud_sources.count(db, NOW)
    assert await apply(db, report("t1", click_id=own)) == ["held_for_review"]
    assert await apply(db, report("t2", click_id=other)) == ["accepted"]
    [case] = await cases(db)
    assert case.hits[0].reason == (
        "21 of 61 decided conversions of its link were approved, 100 of 100 elsewhere:"
        " 9.3 standard errors apart"
    )
    await fraud_sources.count(db, NOW + dt.timedelta(days=31))
    assert await db.fetchval("SELECT count(*) FROM source_rate") == 0


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ("link", "65 of 1000 clicks of its link converted, 100 of 10000 elsewhere"),
        ("network", "165 of 1000 clicks of its network converted, 0 of 10000 elsewhere"),
    ],
)
async def test_a_source_with_many_conversions_stands_out(
    db: pg.Db, database: DatabaseUrls, by: str, reason: str
) -> None:
    owner = await asyncpg.connect(database.migrate)
    await networks.add(db, RING, PROGRAM, "net_2", NEW, b"2")
    await owner.execute(SHOP, PROGRAM)
    for number, (link, clicks) in enumerate([(LINK, 1_000), (OTHER_LINK, 10_000)], 1):
        await owner.execute(PLACE, PROGRAM, link, NOW.date(), clicks)
        await owner.execute(OFFER, PROGRAM, f"off_{number}", link, f"net_{number}")
    own, _ = await history(db, owner)
    await owner.close()
    await add(db, SourceOutlier(of="conversions", by=by))  # type: ignore[arg-type]  # words of a list
    await fraud_sources.count(db, NOW)
    await apply(db, report("t1", click_id=own))
    [case] = await cases(db)
    assert case.hits[0].reason.startswith(reason)
