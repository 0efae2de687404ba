"""Rewards of referrals in PostgreSQL: given once, taken back, whoever reports what at once."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from core import errors
from core.contacts import Contact
from core.conversions import Review
from core.fraud import Action
from core.fraud_rules import Amount
from core.kyc import Document
from core.payout_methods import Upi
from core.wallet import Account, Posting
from db import contacts, kyc, members, money, networks, payout_methods, pg, referrals, webhooks
from db import conversions as stored
from db.bookings import Act
from tests.conftest import RING
from tests.db import test_fraud
from tests.db.bringing import (
    NETWORKS,
    NOW,
    Shopping,
    apply,
    bring,
    claim,
    code_of,
    join,
    listen,
    of,
    purse,
    set_rules,
    shop,
    shopping,
    spent,
    tell,
    told,
)
from tests.db.conftest import PROGRAM, until_waiting

__all__ = ["shop", "shopping"]


async def review(db: pg.Db, member_id: str, to: Review) -> None:
    """The latest purchase of the member is in this review an hour later."""
    act = Act("opr_1", NOW + dt.timedelta(hours=1), dt.timedelta(days=7))
    async with db.transaction():
        network = await networks.lock(db, PROGRAM, "net_1")
        wanted = stored.Wanted(member_id=member_id)
        [before] = await stored.page(db, PROGRAM, before="", limit=1, wanted=wanted)
        pairs = [(before, before.replace(review=to))]
        await stored.change_many(db, RING, network, pairs, act)


async def test_both_get_it_for_the_first_purchase_and_give_it_back_with_it(
    db: pg.Db, shopping: Shopping
) -> None:
    await listen(db)
    old = await join(db)
    new = await bring(db, old)
    first, second = await shopping.report(new, "t1"), await shopping.report(new, "t2")
    pending = await shopping.report(new, "t1", "pending")
    await tell(db, pending)
    assert ((await of(db, new)).state, await spent(db)) == ("claimed", 0)
    await tell(db, first)
    found = await of(db, new)
    assert (found.state, found.version, found.qualified_at) == ("rewarded", 2, NOW)
    assert await referrals.to_tell(db, found.id) == found
    # With the members' half of the commission.
    assert (await purse(db, old), await purse(db, new)) == (100, 55)
    await tell(db, second, network_id="net_2")
    assert (await spent(db), await purse(db, new)) == (150, 60)
    # Another purchase takes the place of one that is taken back.
    await tell(db, await shopping.report(new, "t1", "reversed"))
    after = await of(db, new)
    assert (after.state, await spent(db)) == ("rewarded", 150)
    assert after.conversion_id != found.conversion_id
    await tell(db, await shopping.report(new, "t2", "reversed"), network_id="net_2")
    assert (await of(db, new)).state == "reversed"
    assert await referrals.to_tell(db, found.id) is None
    assert (await purse(db, old), await purse(db, new), await spent(db)) == (0, 0, 0)
    # And is given again for one that comes in time.
    await tell(db, await shopping.report(new, "t3"))
    assert ((await of(db, new)).state, await purse(db, old)) == ("rewarded", 100)
    assert await told(db) == ["qualified", "qualified", "reversed"]
    types = await db.fetch("SELECT type FROM money_transaction WHERE subject = $1", found.id)
    assert sorted(row["type"] for row in types) == [
        *("referral_reversed", "referral_rewarded", "referral_rewarded")
    ]
    tasks = await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'tell_referral'")
    assert tasks == 2


async def test_what_was_paid_out_is_owed_back(db: pg.Db, shopping: Shopping) -> None:
    new = webhooks.NewEndpoint(url="https://hooks.example.com/", events=["balance.negative"])
    await webhooks.add(db, RING, PROGRAM, "whk_1", new, "secret")
    old = await join(db)
    member_id, other = [await bring(db, old) for _ in range(2)]
    await tell(db, await shopping.report(member_id, "t1"), await shopping.report(other, "t2"))
    # Both of the referrer's rewards leave; of the other side's 55 nothing does.
    account = Account("available", "INR", old)
    paid = Account("paid_out", "INR")
    async with db.transaction():
        locked = await money.lock(db, PROGRAM, [account, paid])
        moved = money.Transaction(
            *("mtx_paid", "withdrawal_paid", "wdr_1", 1, old, None, "test", NOW),
            [Posting(account, paid, 200)],
        )
        await money.post(db, locked, [moved])
    await tell(db, await shopping.report(member_id, "t1", "reversed"))
    assert (await purse(db, old), await purse(db, member_id)) == (-100, 0)
    assert await db.fetchval("SELECT count(*) FROM webhook_delivery") == 1
    # Who is below zero already is not announced again.
    await tell(db, await shopping.report(other, "t2", "reversed"))
    assert await purse(db, old) == -200
    assert await db.fetchval("SELECT count(*) FROM webhook_delivery") == 1


async def test_a_purchase_that_shrinks_or_is_held_does_not_count(
    db: pg.Db, shopping: Shopping
) -> None:
    await set_rules(db, minimum_commission_minor=10, qualify_days=5)
    new = await bring(db, await join(db))
    late = int((NOW + dt.timedelta(days=6)).timestamp() * 1000)
    await tell(db, await shopping.report(new, "t0", event_at_ms=late))
    await tell(db, await shopping.report(new, "t1", commission_minor=9))
    assert (await of(db, new)).state == "claimed"
    # The promise stands, whatever the rules say now.
    await set_rules(db, minimum_commission_minor=500, referrer_minor=1)
    await tell(db, await shopping.report(new, "t1", commission_minor=10))
    assert ((await of(db, new)).state, await spent(db)) == ("rewarded", 150)
    await tell(db, await shopping.report(new, "t1", commission_minor=9))
    assert ((await of(db, new)).state, await spent(db)) == ("reversed", 0)


async def test_what_a_review_suspends_is_given_again_whatever_was_given_meanwhile(
    db: pg.Db, shopping: Shopping
) -> None:
    await set_rules(db, budget_minor=150)
    new, other = [await bring(db, await join(db)) for _ in range(2)]
    await tell(db, await shopping.report(new, "t1"))
    await review(db, new, "held")
    assert ((await of(db, new)).state, await spent(db)) == ("reversed", 0)
    await tell(db, await shopping.report(other))
    await set_rules(db, is_on=False, budget_minor=150)
    await review(db, new, "released")
    found = await of(db, new)
    assert (found.state, found.qualified_at, await spent(db)) == ("rewarded", NOW, 300)
    # Once the network takes the purchase back nothing is suspended any more.
    await review(db, new, "held")
    await tell(db, await shopping.report(new, "t1", "reversed"))
    assert ((await of(db, new)).conversion_id, await spent(db)) == (None, 150)
    await set_rules(db, budget_minor=150)
    await tell(db, await shopping.report(new, "t2"))
    assert ((await of(db, new)).reason, await spent(db)) == ("budget_exhausted", 150)


LARGE = Amount(of="commission", above_minor=20)


@pytest.mark.parametrize("action", ["flag", "hold"])
async def test_what_a_person_has_rejected_is_not_suspended(
    db: pg.Db, shopping: Shopping, action: Action
) -> None:
    await set_rules(db, budget_minor=150)
    new, other = [await bring(db, await join(db)) for _ in range(2)]
    await test_fraud.add(db, LARGE, action)
    await tell(db, await shopping.report(new, "t1"))
    await tell(db, await shopping.report(new, "t1", "settled", commission_minor=30))
    assert (await of(db, new)).is_suspended is (action == "hold")
    [case] = await test_fraud.cases(db)
    await test_fraud.decide(db, case, "reject")
    found = await of(db, new)
    assert (found.state, found.conversion_id, await spent(db)) == ("reversed", None, 0)
    # Somebody else has the last of the budget: an honest purchase has to ask for it.
    await tell(db, await shopping.report(other))
    await tell(db, await shopping.report(new, "t2"))
    assert ((await of(db, new)).reason, await spent(db)) == ("budget_exhausted", 150)


async def test_what_is_lost_while_another_purchase_comes_asks_anew(
    db: pg.Db, shopping: Shopping
) -> None:
    await set_rules(db, budget_minor=150)
    new, other = [await bring(db, await join(db)) for _ in range(2)]
    await tell(db, await shopping.report(new, "t1"))
    await review(db, new, "held")
    await tell(db, await shopping.report(other))
    lost = await shopping.report(new, "t1", "reversed")
    await tell(db, lost, await shopping.report(new, "t2"))
    assert ((await of(db, new)).reason, await spent(db)) == ("budget_exhausted", 150)


async def test_what_a_rule_has_rejected_is_suspended_until_it_is_released(
    db: pg.Db, shopping: Shopping
) -> None:
    await set_rules(db, budget_minor=150)
    new, other = [await bring(db, await join(db)) for _ in range(2)]
    await test_fraud.add(db, LARGE, "reject")
    await tell(db, await shopping.report(new, "t1"))
    await tell(db, await shopping.report(new, "t1", "settled", commission_minor=30))
    assert (await of(db, new)).is_suspended is True
    await tell(db, await shopping.report(other))
    [case] = await test_fraud.cases(db)
    await test_fraud.decide(db, case, "release")
    assert ((await of(db, new)).state, await spent(db)) == ("rewarded", 300)


async def test_two_networks_that_report_first_purchases_at_once_bring_one_reward(
    db: pg.Db, pool: pg.Pool, shopping: Shopping
) -> None:
    old = await join(db)
    new = await bring(db, old)
    reports = [await shopping.report(new) for _ in NETWORKS]
    async with pool.acquire() as other:
        async with db.transaction():
            await apply(db, reports[0])
            waiting = asyncio.create_task(tell(other, reports[1], network_id="net_2"))
            async with pool.acquire() as third:
                await until_waiting(third)
        await waiting
    assert (await purse(db, old), await purse(db, new), await spent(db)) == (100, 60, 150)
    # The first is taken back while the second is, too: nothing is left to take its place.
    back = [
        msgspec.structs.replace(one, status="reversed", commission_minor=None) for one in reports
    ]
    async with pool.acquire() as other:
        async with db.transaction():
            await apply(db, back[0])
            waiting = asyncio.create_task(tell(other, back[1], network_id="net_2"))
            async with pool.acquire() as third:
                await until_waiting(third)
        await waiting
    assert (await purse(db, old), await purse(db, new), await spent(db)) == (0, 0, 0)
    assert (await of(db, new)).state == "reversed"


async def test_the_last_of_a_budget_is_given_once(
    db: pg.Db, pool: pg.Pool, shopping: Shopping
) -> None:
    await set_rules(db, budget_minor=300)
    await listen(db)
    brought = [await bring(db, await join(db)) for _ in range(3)]
    reports = [await shopping.report(one) for one in brought]
    await tell(db, reports[0])
    assert await told(db) == ["qualified"]
    async with pool.acquire() as other:
        async with db.transaction():
            await apply(db, reports[1])
            waiting = asyncio.create_task(tell(other, reports[2], network_id="net_2"))
            async with pool.acquire() as third:
                await until_waiting(third)
        await waiting
    assert [(await of(db, one)).reason for one in brought] == [None, None, "budget_exhausted"]
    assert await spent(db) == 300
    assert await told(db) == ["budget_exhausted", "qualified", "qualified", "qualified"]
    # A refusal is for good, whatever becomes of its purchase, and nothing is left to claim.
    await set_rules(db, budget_minor=1_000)
    for status in ("approved", "reversed"):
        await tell(db, msgspec.structs.replace(reports[2], status=status), network_id="net_2")
        await tell(db, await shopping.report(brought[2]))
        assert ((await of(db, brought[2])).state, await spent(db)) == ("refused", 300)
    await set_rules(db, budget_minor=449)
    with pytest.raises(errors.ReferralsClosed):
        await bring(db, await join(db))


async def test_a_cap_is_reached_and_passes(db: pg.Db, shopping: Shopping) -> None:
    await set_rules(db, cap_count=2, cap_days=30)
    old = await join(db)
    brought = [await bring(db, old) for _ in range(4)]
    bought_at_ms = int(NOW.timestamp() * 1000)
    await tell(db, await shopping.report(brought[0]))
    # Of three that are approved together a month later there is room for two.
    said = [await shopping.report(one, event_at_ms=bought_at_ms) for one in brought[1:]]
    await tell(db, *said, at=NOW + dt.timedelta(days=31))
    states = [(await of(db, one)).state for one in brought]
    assert sorted(states) == ["refused", "rewarded", "rewarded", "rewarded"]
    assert {(await of(db, one)).reason for one in brought} == {None, "referrer_cap"}
    assert await purse(db, old) == 300
    with pytest.raises(errors.ReferralsClosed):
        await bring(db, old)
    await set_rules(db, cap_count=9, cap_minor=399, cap_days=None)
    with pytest.raises(errors.ReferralsClosed):
        await bring(db, old)
    await set_rules(db, cap_count=9, cap_minor=400, cap_days=None)
    await tell(db, await shopping.report(await bring(db, old)))
    assert await purse(db, old) == 400


async def test_many_purchases_at_once_never_wait_for_each_other_in_a_ring(
    db: pg.Db, pool: pg.Pool, shopping: Shopping
) -> None:
    """Everybody is brought by the one before, and both networks report all, in opposite orders."""
    line = [await join(db)]
    for _ in range(5):
        line.append(await bring(db, line[-1]))

    async def report(status: str, network_id: str) -> Coroutine[Any, Any, None]:
        order = line[1:] if network_id == "net_1" else line[:0:-1]
        said = [await shopping.report(one, f"{network_id}{one}", status) for one in order]
        turns = [said[::2], said[1::2]]

        async def run() -> None:
            async with pool.acquire() as own:
                for turn in turns:
                    await tell(own, *turn, network_id=network_id)

        return run()

    for status, rewards in (("approved", 5), ("reversed", 0), ("approved", 0)):
        await asyncio.gather(*[await report(status, one) for one in NETWORKS])
        assert await spent(db) == rewards * 150
    assert await purse(db, line[0]) == 0


async def test_a_purchase_that_goes_on_counting_leaves_the_referral_as_it_is(
    db: pg.Db, shopping: Shopping
) -> None:
    new = await bring(db, await join(db))
    await tell(db, await shopping.report(new, "t1"))
    before = await of(db, new)
    await tell(db, await shopping.report(new, "t1", "settled"))
    assert (await of(db, new), await spent(db)) == (before, 150)


async def test_nothing_is_given_for_a_member_who_is_gone(db: pg.Db, shopping: Shopping) -> None:
    new = await bring(db, await join(db))
    bought = await shopping.report(new)
    await members.delete(db, PROGRAM, new)
    await tell(db, bought)
    found = await of(db, new)
    assert (found.state, found.reason, await spent(db)) == ("refused", "member_gone", 0)


async def test_nothing_is_given_for_a_referrer_who_is_gone(db: pg.Db, shopping: Shopping) -> None:
    old = await join(db)
    new, code = await bring(db, old), await code_of(db, old)
    await members.delete(db, PROGRAM, old)
    await tell(db, await shopping.report(new))
    found = await of(db, new)
    assert (found.state, found.reason, await spent(db)) == ("refused", "referrer_gone", 0)
    with pytest.raises(errors.ReferralCodeNotFound):
        await claim(db, await join(db), code)


async def same_account(db: pg.Db, member_id: str) -> None:
    details = Upi(vpa="asha@okbank", name="Asha Verma")
    async with db.transaction():
        await payout_methods.add(db, RING, PROGRAM, member_id, f"pmt_{member_id}", details, NOW)


async def same_document(db: pg.Db, member_id: str) -> None:
    document = Document(kind="pan", number="ABCPE1234F", name="Asha Verma")
    async with db.transaction():
        await kyc.put(db, RING, PROGRAM, member_id, document, NOW)


async def same_mailbox(db: pg.Db, member_id: str) -> None:
    contact = Contact("email", f"asha+{member_id}@example.com")
    await contacts.put(db, RING, PROGRAM, member_id, contact, is_verified=True)


@pytest.mark.parametrize("mark", [same_account, same_document, same_mailbox])
async def test_one_person_with_two_accounts_gets_nothing(
    db: pg.Db, shopping: Shopping, mark: Any
) -> None:
    old = await join(db)
    seemed_fine, new = await bring(db, old), await join(db)
    for one in (old, seemed_fine, new):
        await mark(db, one)
    with pytest.raises(errors.SelfReferral):
        await claim(db, new, await code_of(db, old))
    await tell(db, await shopping.report(seemed_fine))
    found = await of(db, seemed_fine)
    assert (found.state, found.reason, await spent(db)) == ("refused", "same_person", 0)


async def test_without_money_to_give_it_is_only_told(db: pg.Db, shopping: Shopping) -> None:
    await set_rules(db, referrer_minor=0, referee_minor=0, cap_count=1)
    await listen(db)
    old = await join(db)
    brought = [await bring(db, old) for _ in range(2)]
    await tell(db, *[await shopping.report(one) for one in brought])
    states = [(await of(db, one)).state for one in brought]
    assert sorted(states) == ["qualified", "refused"]
    assert await told(db) == ["qualified", "qualified"]
    assert await spent(db) == 0
