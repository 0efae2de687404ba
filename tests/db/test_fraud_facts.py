"""What fraud rules see of clicks, members and what members did before, in real rows."""

from __future__ import annotations

import datetime as dt

import asyncpg
import pytest

from core import conversions, kyc
from core.fraud_rules import (
    AddressVelocity,
    AgentBurst,
    ClickClass,
    ClickToConversion,
    DisposableMail,
    ListedNetwork,
    MemberVelocity,
    NewMember,
    Referrer,
    Reversals,
    SharedDocument,
    SharedPayoutMethod,
    SourceOutlier,
)
from core.payout_methods import Upi
from db import kyc as documents
from db import members, payout_methods, pg
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import test_fraud
from tests.db.conftest import PROGRAM
from tests.db.test_conversions import ACT, MEMBER, NOW, apply, report
from tests.db.test_fraud import ALL, Click, add, cases, reviews

DAY = 86_400
NOW_MS = (NOW - conversions.EPOCH) // dt.timedelta(milliseconds=1)

# The same program, network and clicks.
network = test_fraud.network
click = test_fraud.click


async def second(db: pg.Db) -> str:
    await members.add(db, RING, PROGRAM, "mem_2", members.NewMember())
    return "mem_2"


async def pay(db: pg.Db, member_id: str, vpa: str) -> None:
    details = Upi(vpa=vpa, name="Asha")
    await payout_methods.add(db, RING, PROGRAM, member_id, f"pmt_{member_id}", details, NOW)


async def hand_in(db: pg.Db, member_id: str, number: str) -> None:
    document = kyc.Document(kind="pan", number=number, name="Asha")
    await documents.put(db, RING, PROGRAM, member_id, document, NOW)


async def join(db: pg.Db, database: DatabaseUrls, age_s: int) -> None:
    owner = await asyncpg.connect(database.migrate)
    at = NOW - dt.timedelta(seconds=age_s)
    await owner.execute("UPDATE member SET created_at = $1", at)
    await owner.close()


async def test_rules_see_the_click(db: pg.Db, click: Click) -> None:
    await add(db, ClickClass())
    await add(db, Referrer(hosts=["cheap.example"]))
    await add(db, ClickToConversion(max_s=59))
    texts = [
        await click(),
        await click(hit_class=1),
        await click(referrer="https://www.cheap.example/x"),
    ]
    in_time = {"event_at_ms": NOW_MS - 30_000}
    said = [report(f"t{n}", click_id=text, **in_time) for n, text in enumerate(texts)]
    await apply(db, *said, report("late", click_id=texts[0]))
    held = {case.conversion_id: case.hits[0].reason for case in await cases(db)}
    assert sorted(held.values()) == [
        "it came 60 s after its click, later than 59 s",
        "its click came from www.cheap.example",
        "its click was suspect",
    ]


async def test_rules_see_the_click_however_it_was_found(db: pg.Db, click: Click) -> None:
    text = await click(referrer="https://cheap.example/", address=b"home")
    await apply(db, report("t1", click_id=text), report("t2", click_id=text))
    await db.execute("UPDATE conversion SET attribution = 'coupon'")
    await add(db, ClickClass(classes=["human"]))
    await add(db, Referrer(hosts=["cheap.example"]))
    await add(db, ClickToConversion(max_s=59))
    await add(db, AddressVelocity(most=1, window_s=60))
    await apply(db, *(report(txn, commission_minor=300) for txn in ("t1", "t2")))
    assert sorted(len(case.hits) for case in await cases(db)) == [3, 4]


async def test_rules_see_members_that_share_an_account_or_a_document(
    db: pg.Db, click: Click
) -> None:
    await add(db, SharedPayoutMethod())
    await add(db, SharedDocument())
    other = await second(db)
    await pay(db, MEMBER, "asha@okbank")
    await hand_in(db, MEMBER, "ABCPE1234F")
    said = {"click_id": await click()}
    assert await apply(db, report(**said, status="pending")) == ["accepted"]
    await pay(db, other, "asha@okbank")
    await hand_in(db, other, "ABCPE1234F")
    assert await apply(db, report(**said)) == ["held_for_review"]
    [case] = await cases(db)
    assert sorted(hit.reason for hit in case.hits) == [
        "2 members are paid to the same account",
        "2 members handed in the same document",
    ]


@pytest.mark.parametrize(("age_s", "is_held"), [(3_599, True), (3_600, False)])
async def test_rules_see_the_first_conversion_of_a_new_member(
    db: pg.Db, database: DatabaseUrls, click: Click, *, age_s: int, is_held: bool
) -> None:
    await add(db, NewMember(younger_than_s=3_600, above_minor=99))
    await join(db, database, age_s)
    await apply(db, report(click_id=await click()))
    assert await reviews(db) == ["held" if is_held else None]
    later = ACT._replace(at=NOW + dt.timedelta(milliseconds=1))
    assert await apply(db, report("t2", click_id=await click()), act=later) == ["accepted"]


async def test_rules_see_what_a_member_did_before(db: pg.Db, click: Click) -> None:
    await add(db, MemberVelocity(most=3, window_s=60))
    await add(db, Reversals(percent=50, at_least=4, window_s=DAY), "flag")
    text, other = await click(), await click(await second(db))
    await apply(db, *(report(f"t{number}", click_id=text) for number in range(5)))
    assert (await reviews(db)).count("held") == 2
    assert await apply(db, report("o", click_id=other)) == ["accepted"]
    await apply(
        db, *(report(f"t{number}", click_id=text, status="reversed") for number in range(3))
    )
    later = ACT._replace(at=NOW + dt.timedelta(seconds=61))
    assert await apply(db, report("t5", click_id=text), act=later) == ["accepted"]
    flagged = [case for case in await cases(db) if case.hits[0].action == "flag"]
    reason = "3 of the member's 5 conversions before were taken back"
    assert [case.hits[0].reason for case in flagged] == [reason]


async def test_rules_see_what_came_from_one_address(db: pg.Db, click: Click) -> None:
    await add(db, AddressVelocity(most=2, window_s=60))
    await add(db, AddressVelocity(most=4, window_s=120), "flag")
    near = [await click(await second(db), address=b"home"), await click(address=b"home")]
    far, hidden = await click(address=b"away"), await click()
    said = [report(f"t{number}", click_id=near[number % 2]) for number in range(3)]
    away = [report(f"u{number}", click_id=[far, hidden][number % 2]) for number in range(4)]
    await apply(db, *said, *away)
    assert (await reviews(db)).count("held") == 1
    later = ACT._replace(at=NOW + dt.timedelta(seconds=61))
    assert await apply(db, report("t4", click_id=near[0]), act=later) == ["accepted"]
    last = ACT._replace(at=NOW + dt.timedelta(seconds=62))
    assert await apply(db, report("t5", click_id=near[0]), act=last) == ["accepted"]
    flagged = [case for case in await cases(db) if case.hits[0].action == "flag"]
    reason = "it is conversion 5 from its address within 120 s"
    assert [case.hits[0].reason for case in flagged] == [reason]


async def test_as_many_statements_look_at_many_as_at_one(db: pg.Db, click: Click) -> None:
    asked: list[str] = []
    text = await click()

    async def statements(name: str, count: int) -> int:
        asked.clear()
        said = [report(f"{name}{number}", click_id=text) for number in range(count)]
        with db.query_logger(lambda query: asked.append(query.query)):
            await apply(db, *said)
        return len(asked)

    # The first one also asks what types there are.
    await statements("first", 1)
    assert await statements("none", 1) == await statements("nones", 20)
    fraud = [query for query in asked if "fraud_" in query]
    assert len(fraud) == 1
    for condition in (
        *(ClickClass(), MemberVelocity(most=1, window_s=60), Reversals(percent=1)),
        *(NewMember(younger_than_s=60), SharedPayoutMethod(), SharedDocument(), ALL),
        *(AddressVelocity(most=1, window_s=60), AgentBurst(most=1)),
        *(SourceOutlier(of="approvals"), DisposableMail(), ListedNetwork()),
    ):
        await add(db, condition)
    await statements("warm", 1)
    assert await statements("one", 1) == await statements("many", 20)
