"""Conversions in PostgreSQL: once whatever is repeated, killed or done by two at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any, Final

import asyncpg
import pytest

from core import clickid, conversions, ids
from core.conversions import Item
from core.merchants import MerchantConfig
from core.networks import Rules
from core.offers import Fixed, MemberCap, OfferConfig
from core.providers.affiliate.report import Report
from core.wallet import Account, Posting
from db import (
    attributions,
    intake,
    members,
    merchants,
    money,
    networks,
    offers,
    pg,
    postbacks,
    webhooks,
)
from db import conversions as stored
from db.bookings import Act
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM

NOW: Final = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ACT: Final = Act("network", NOW, dt.timedelta(days=7))
NETWORK: Final = "net_1"
MEMBER: Final = "mem_1"
LINK: Final = "lnk_01h455vb4pex5vsknk084sn02q"
NEW: Final = networks.New(
    provider="generic", name="Shops", config={"currency": "INR"}, rules=Rules(), credentials=None
)
ROW: Final = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id)
VALUES ($1, $2, $3, $4, $5, 0, '{}', 'desktop', 'Linux', 'Firefox', false, $6)
"""


@pytest.fixture(autouse=True)
async def network(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await networks.add(db, RING, PROGRAM, NETWORK, NEW, b"")


def click(number: int = 1, *, ms: int = 0) -> str:
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 7)
    minter.sequence = number
    at = NOW - dt.timedelta(minutes=1)
    at_ms = (at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return minter.mint(at_ms + ms, PROGRAM, ids.link_bits(LINK))


async def store_click(database: DatabaseUrls, text: str) -> None:
    owner = await asyncpg.connect(database.migrate)
    at = conversions.moment(clickid.decode(text).ms)
    await owner.execute(ROW, at.date(), text, PROGRAM, LINK, at, MEMBER)
    await owner.close()


def report(txn: str = "t1", **fields: Any) -> Report:
    values: dict[str, Any] = {
        "status": "approved",
        "commission_minor": 200,
        "currency": "INR",
    } | fields
    return Report(txn_id=txn, **values)


async def apply(db: pg.Db, *reports: Report, act: Act = ACT) -> list[str]:
    async with db.transaction():
        network = await networks.lock(db, PROGRAM, NETWORK)
        items = [Item(one) for one in reports]
        return [one.word for one in await stored.apply(db, RING, network, items, act)]


async def retry(db: pg.Db, at: dt.datetime) -> int:
    async with db.transaction():
        network = await networks.lock(db, PROGRAM, NETWORK)
        return await stored.retry(db, RING, network, ACT._replace(at=at), 100)


async def roles(db: pg.Db) -> dict[str, int]:
    assert await money.check(db) == []
    totals = await money.totals(db, PROGRAM)
    return {total.role: total.total_minor for total in totals if total.total_minor}


async def only(db: pg.Db) -> conversions.Conversion:
    [one] = await stored.page(db, PROGRAM, before="", limit=9, wanted=stored.Wanted())
    return one


async def test_a_conversion_waits_for_the_row_of_its_click(
    db: pg.Db, database: DatabaseUrls
) -> None:
    text = click()
    assert await apply(db, report(click_id=text)) == ["awaiting_click"]
    assert await roles(db) == {}
    assert await stored.waiting(db, NOW, 10) == []
    later = NOW + dt.timedelta(seconds=5)
    assert await stored.waiting(db, later, 10) == [(PROGRAM, NETWORK)]
    assert await retry(db, later) == 1
    assert (await only(db)).parked == "awaiting_click"
    await store_click(database, text)
    assert await retry(db, NOW + dt.timedelta(hours=1)) == 1
    assert await roles(db) == {"receivable": -200, "available": 100, "margin": 100}
    assert (await only(db)).parked is None
    assert await stored.waiting(db, NOW + dt.timedelta(days=9), 10) == []


async def test_a_click_that_never_comes_leaves_it_nobodys(db: pg.Db) -> None:
    await apply(db, report(click_id=click()))
    assert await retry(db, NOW + dt.timedelta(days=7)) == 1
    assert (await only(db)).parked == "unattributed"
    assert await roles(db) == {"receivable": -200, "margin": 200}


async def test_a_forged_click_id_spoils_no_report_that_names_something_else(db: pg.Db) -> None:
    forged = report("t1", click_id="0" * 26), report("t2", click_id="0" * 26, coupon="TEA")
    assert await apply(db, *forged) == ["bad_mac", "accepted"]
    assert (await only(db)).click_id is None


async def test_one_batch_may_say_several_things_of_one_transaction(
    db: pg.Db, database: DatabaseUrls
) -> None:
    text = click()
    await store_click(database, text)
    said = [
        report(click_id=text, status="pending", commission_minor=100),
        report(click_id=text, status="approved", commission_minor=300),
        report(click_id=text, status="approved", commission_minor=300),
        report("t2", click_id=text, status="rejected"),
    ]
    assert await apply(db, *said) == ["accepted", "updated", "duplicate", "accepted"]
    assert await roles(db) == {"receivable": -300, "available": 150, "margin": 150}
    assert await apply(db, *said[1:]) == ["duplicate"] * 3


async def test_money_follows_the_conversion_and_balances_at_each_step(
    db: pg.Db, database: DatabaseUrls
) -> None:
    text = click()
    await store_click(database, text)
    steps: list[tuple[dict[str, Any], dict[str, int]]] = [
        ({"status": "pending"}, {"receivable": -200, "pending": 100, "expected": 100}),
        ({"commission_minor": 301}, {"receivable": -301, "available": 150, "margin": 151}),
        ({"status": "settled"}, {"settled": -200, "available": 100, "margin": 100}),
        ({"status": "reversed"}, {}),
        ({"status": "approved"}, {}),
    ]
    for fields, expected in steps:
        await apply(db, report(click_id=text, **fields))
        assert await roles(db) == expected


async def test_two_at_a_time_take_each_report_once(
    db: pg.Db, pool: pg.Pool, database: DatabaseUrls
) -> None:
    text = click()
    await store_click(database, text)
    said = [report(f"t{number}", click_id=text) for number in range(50)]

    async def one(turn: int) -> list[str]:
        async with pool.acquire() as own:
            return await apply(own, *(said if turn % 2 else reversed(said)))

    words = [word for words in await asyncio.gather(*map(one, range(4))) for word in words]
    assert words.count("accepted") == 50
    assert words.count("duplicate") == 150
    assert (await roles(db))["receivable"] == -50 * 200


class Killed(Exception):
    """The process ended here."""


POINTS: Final = [
    (attributions, "owned"),
    (stored, "_valued"),
    (money, "lock"),
    (money, "post"),
    (postbacks, "judge"),
]


def called(number: int, text: str) -> postbacks.New:
    query = f"txid=t{number}&click_id={text}&payout=2.00&status=approved"
    return postbacks.New(
        *(f"pbk_{number}", PROGRAM, NETWORK, NOW, "GET", query, "{}", b"", None, None)
    )


@pytest.mark.parametrize(("module", "name"), POINTS, ids=str)
@pytest.mark.parametrize("is_after", [False, True])
async def test_a_kill_at_any_step_costs_nothing(
    db: pg.Db,
    database: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    *,
    is_after: bool,
) -> None:
    text = click()
    await store_click(database, text)
    await postbacks.add(db, [called(number, text) for number in range(3)])
    real = getattr(module, name)

    async def killed(*args: Any, **named: Any) -> Any:
        if is_after:
            await real(*args, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed)
        with pytest.raises(Killed):
            await process(db)
    assert await roles(db) == {}
    assert await postbacks.waiting(db, 10) == [(PROGRAM, NETWORK)]
    assert await process(db) == ["accepted"] * 3
    assert await process(db) == []
    assert await roles(db) == {"receivable": -600, "available": 300, "margin": 300}
    assert await db.fetchval("SELECT count(*) FROM money_transaction") == 3


async def test_a_call_that_nobody_has_read_is_kept_however_old_it_is(db: pg.Db) -> None:
    await postbacks.add(db, [called(number, "") for number in range(2)])
    await postbacks.judge(db, PROGRAM, [("pbk_0", conversions.Verdict("test"))], NOW)
    await postbacks.delete_old(db, NOW + dt.timedelta(days=999))
    assert await postbacks.unread_ids(db, PROGRAM, NETWORK, 9) == ["pbk_1"]
    assert await db.fetchval("SELECT count(*) FROM postback") == 1


async def process(db: pg.Db) -> list[str]:
    async with db.transaction():
        done = await intake.process(db, RING, PROGRAM, NETWORK, ACT)
    return [verdict.word for _, verdict in done]


async def test_the_member_and_endpoints_are_told_once(db: pg.Db, database: DatabaseUrls) -> None:
    text = click()
    await store_click(database, text)
    for status in ("approved", "approved", "settled"):
        await apply(db, report(click_id=text, status=status))
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'tell_cashback'") == 1


async def test_a_balance_that_falls_below_zero_is_announced_once(
    db: pg.Db, database: DatabaseUrls
) -> None:
    new = webhooks.NewEndpoint(url="https://hooks.example.com/", events=["balance.negative"])
    await webhooks.add(db, RING, PROGRAM, "whk_1", new, "secret")
    text = click()
    await store_click(database, text)
    await apply(db, report("t1", click_id=text), report("t2", click_id=text))
    # Of 200 there are 50 left.
    account, paid = Account("available", "INR", MEMBER), Account("paid_out", "INR")
    async with db.transaction():
        locked = await money.lock(db, PROGRAM, [account, paid])
        moved = money.Transaction(
            *("mtx_paid", "withdrawal_paid", "wdr_1", 1, MEMBER, None, "test", NOW),
            [Posting(account, paid, 150)],
        )
        await money.post(db, locked, [moved])
    counts = []
    for txn in ("t1", "t2"):
        await apply(db, report(txn, click_id=text, status="reversed"))
        counts.append(await db.fetchval("SELECT count(*) FROM webhook_delivery"))
    assert counts == [1, 1]
    assert await roles(db) == {"available": -150, "paid_out": 150}


async def test_a_batch_takes_as_many_statements_as_one_report(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db)
    text = click()
    await store_click(database, text)
    asked: list[list[str]] = []
    # The first time asyncpg asks things of its own.
    for numbers in (range(1), range(1, 2), range(2, 40)):
        said = [report(f"t{number}", click_id=text) for number in numbers]
        asked.append([])
        act = ACT._replace(at=NOW + dt.timedelta(minutes=numbers[0]))
        with db.query_logger(lambda record: asked[-1].append(record.query)):
            await apply(db, *said, act=act)
            await asyncio.sleep(0)
    assert len(asked[1]) > 10
    assert asked[1] == asked[2]
    # The cap is three times fifty.
    assert await roles(db) == {"receivable": -8_000, "available": 150, "margin": 7_850}


async def test_a_coupon_in_the_second_of_its_click_finds_it(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db, coupon_code="TEA")
    await store_click(database, click(ms=700))
    second_ms = (NOW - dt.timedelta(minutes=1) - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    for txn, at_ms in (("in it", second_ms), ("before", second_ms + 699)):
        await apply(db, report(txn, coupon="TEA", event_at_ms=at_ms))
    found = await stored.page(db, PROGRAM, before="", limit=9, wanted=stored.Wanted())
    assert {one.txn_id: one.attribution for one in found} == {"in it": "coupon", "before": "none"}


async def store_capped_offer(db: pg.Db, **more: Any) -> None:
    """The offer of LINK: fifty each time, three times."""
    await merchants.add(db, PROGRAM, "mer_1", MerchantConfig(name="Shop"))
    config = OfferConfig(
        merchant_id="mer_1",
        title="Tea",
        kind="cashback",
        cashback=Fixed(amount_minor=50, currency="INR"),
        destination="https://shop.example.com/?subid={click_id}",
        state="active",
        **{"member_cap": MemberCap(period="ever", count=3)} | more,
    )
    await offers.add(db, PROGRAM, [offers.Draft("off_1", LINK, config)], lambda: "tea", ())


READ: Final = """
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'conversion'
"""


@pytest.mark.parametrize("first", [1, 40])
async def test_what_a_batch_costs_does_not_grow_with_what_is_there(db: pg.Db, first: int) -> None:
    """Statements are planned while there is little in a table, and for some time go on as that is
    best: at 500 postbacks a second the thirtieth batch has a table of thousands."""
    txns, read = iter(range(10_000)), 0
    for count in [first] * 8 + [40] * 10:
        async with db.transaction():
            network = await networks.lock(db, PROGRAM, NETWORK)
            items = [Item(report(f"t{next(txns)}")) for _ in range(count)]
            await stored.apply(db, RING, network, items, ACT)
            read = await db.fetchval(READ)
    assert read < 3 * 40
