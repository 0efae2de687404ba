"""Reports without a click id of ours: who gets the cashback if it is certain, and nobody if not."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from gateway.app import App
from tests.gateway import cash, people, reporting
from tests.gateway.conftest import Client, Db
from tests.gateway.reporting import Account

MAP = {"member": "sub2", "offer": "sub3", "merchant": "sub4"}


class Shop(NamedTuple):
    """A merchant with an offer that has a code, and its link."""

    merchant_id: str
    offer_id: str
    link_id: str


@pytest.fixture
async def asha(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


@pytest.fixture
async def ravi(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


@pytest.fixture
async def account(client: Client) -> Account:
    return await reporting.network(client, config={"currency": "INR", "field_map": MAP})


@pytest.fixture
async def shop(client: Client) -> Shop:
    return await opened(client)


async def opened(client: Client, code: str = "TEA10", **fields: Any) -> Shop:
    merchant = (await client.post("/v1/merchants", {"name": "Tea Shop"})).body["id"]
    offer = {
        "merchant_id": merchant,
        "title": "Green tea",
        "kind": "cashback",
        "state": "active",
        "destination": "https://shop.example.com/?c={click_id}",
        "coupon_code": code,
        "cashback": {"basis": "commission", "rate_bp": 5_000},
        **fields,
    }
    made = await client.post("/v1/offers", offer)
    assert made.status == 201, made
    return Shop(str(merchant), str(made.body["id"]), str(made.body["link_id"]))


async def click(
    client: Client, db: Db, shop: Shop, member_id: str | None, *, age_s: int = 600
) -> str:
    text = reporting.mint(people.program(client), shop.link_id, age_s)
    await reporting.store(db, people.program(client), text, shop.link_id, member_id)
    return text


async def attributed(client: Client, said: Any) -> Any:
    answer = await client.get(f"/v1/attributions/{said['conversion']}")
    assert answer.status == 200, answer
    return answer.body


async def pending(person: cash.Person) -> int:
    [one] = (await person.client.get("/v1/wallet")).body["balances"]
    return int(one["pending_minor"])


async def test_a_code_of_one_offer_finds_the_one_member_who_clicked(
    client: Client, db: Db, asha: cash.Person, account: Account, shop: Shop
) -> None:
    await click(client, db, shop, asha.id, age_s=900)
    last = await click(client, db, shop, asha.id)
    said = await reporting.report(account, txid="t1", payout="2", coupon="tea10")
    found = await attributed(client, said)
    assert (found["how"], found["winner"]["click_id"]) == ("coupon", last)
    assert (found["winner"]["member"], len(found["candidates"])) == (asha.id, 2)
    assert found["hints"] == {"coupon": "tea10"}
    assert await pending(asha) == 100
    traced = await client.get(f"/v1/trace/{said['conversion']}")
    assert traced.body["click"]["id"] == last
    again = await reporting.report(account, txid="t1", payout="2", coupon="tea10")
    assert again["verdict"] == "duplicate"


@pytest.mark.parametrize("who", ["another", "nobody"])
async def test_a_code_that_several_may_have_used_is_nobodys(
    client: Client, db: Db, asha: cash.Person, ravi: cash.Person, account: Account, shop: Shop,
    who: str,
) -> None:  # fmt: skip
    await click(client, db, shop, asha.id)
    await click(client, db, shop, ravi.id if who == "another" else None, age_s=900)
    said = await reporting.report(account, txid="t1", payout="2", coupon="TEA10")
    found = await attributed(client, said)
    assert (found["how"], found["winner"], len(found["candidates"])) == ("none", None, 2)
    assert found["reasons"] == ["of the clicks that it may have come from none is certain"]
    assert (await pending(asha), await pending(ravi)) == (0, 0)


async def test_a_code_that_two_offers_have_is_nobodys(
    client: Client, db: Db, asha: cash.Person, account: Account, shop: Shop
) -> None:
    await opened(client)
    await click(client, db, shop, asha.id)
    said = await reporting.report(account, txid="t1", payout="2", coupon="TEA10")
    assert (await attributed(client, said))["how"] == "none"
    # The merchant tells them apart.
    named = await reporting.report(
        account, txid="t2", payout="2", coupon="TEA10", sub4=shop.merchant_id
    )
    assert (await attributed(client, named))["how"] == "coupon"


async def test_a_member_who_is_named_gets_the_last_click(
    client: Client, db: Db, ravi: cash.Person, account: Account, shop: Shop
) -> None:
    made = await client.post("/v1/members", {"external_id": "m-1"})
    member_id = made.body["id"]
    await click(client, db, shop, member_id, age_s=900)
    last = await click(client, db, shop, member_id)
    await click(client, db, shop, ravi.id, age_s=60)
    said = await reporting.report(account, txid="t1", payout="2", sub2="m-1", sub3=shop.offer_id)
    found = await attributed(client, said)
    assert (found["how"], found["winner"]["click_id"]) == ("member", last)
    assert found["hints"] == {"member": member_id, "offer": shop.offer_id}
    assert {one["member"] for one in found["candidates"]} == {member_id}


async def test_a_member_alone_is_enough_where_one_offer_of_the_network_was_clicked(
    client: Client, db: Db, asha: cash.Person, account: Account, shop: Shop
) -> None:
    linked = await client.patch(
        f"/v1/networks/{account.id}",
        {
            "config": {
                "currency": "INR",
                "field_map": MAP,
                "link": "https://t.example/?s={click_id}",
            }
        },
    )
    assert linked.status == 200, linked
    plain = {"network_id": account.id, "destination": "https://shop.example.com/"}
    own, second = await opened(client, "A", **plain), await opened(client, "B", **plain)
    await click(client, db, shop, asha.id, age_s=60)
    await click(client, db, own, asha.id)
    said = await reporting.report(account, txid="t1", payout="2", sub2=asha.id)
    found = await attributed(client, said)
    assert (found["how"], found["winner"]["link"]) == ("member", own.link_id)
    await click(client, db, second, asha.id)
    said = await reporting.report(account, txid="t2", payout="2", sub2=asha.id)
    assert (await attributed(client, said))["how"] == "none"


async def test_what_is_no_candidate(
    client: Client, other: Client, app: App, db: Db, asha: cash.Person, account: Account
) -> None:
    late = await opened(client, "LATE", attribution_window_days=1)
    await click(client, db, late, asha.id, age_s=2 * 86_400)
    bots = await opened(client, "BOTS")
    text = await click(client, db, bots, asha.id)
    await db.execute("UPDATE click SET class = 2 WHERE click_id = $1", text)
    foreign = await opened(other, "FOREIGN")
    stranger = await cash.person(other, app)
    await click(other, db, foreign, stranger.id)
    hints: list[dict[str, str]] = [
        {"coupon": "LATE"},
        {"coupon": "BOTS"},
        {"coupon": "FOREIGN"},
        {"sub2": stranger.id, "sub3": foreign.offer_id},
        {"sub2": "nobody", "coupon": "NONE"},
        {"sub3": late.offer_id},
    ]
    for number, hint in enumerate(hints):
        said = await reporting.report(account, txid=f"t{number}", payout="2", **hint)
        found = await attributed(client, said)
        assert (found["how"], found["winner"]) == ("none", None), hint
    assert await pending(asha) == 0


async def test_a_click_id_goes_before_what_was_guessed(
    client: Client, db: Db, asha: cash.Person, ravi: cash.Person, account: Account, shop: Shop
) -> None:
    await click(client, db, shop, asha.id)
    said = await reporting.report(account, txid="t1", payout="2", coupon="TEA10")
    assert (await pending(asha), await pending(ravi)) == (100, 0)
    text = await click(client, db, shop, ravi.id, age_s=60)
    await reporting.report(account, txid="t1", payout="2", coupon="TEA10", click_id=text)
    assert (await attributed(client, said))["how"] == "click"
    assert (await pending(asha), await pending(ravi)) == (0, 100)


async def test_beside_a_forged_click_id_nothing_else_counts(
    client: Client, db: Db, asha: cash.Person, account: Account, shop: Shop
) -> None:
    text = await click(client, db, shop, asha.id)
    forged = text[:-1] + ("0" if text[-1] != "0" else "1")
    named = {"sub2": asha.id, "sub3": shop.offer_id}
    for hints in ({"coupon": "TEA10"}, named):
        said = await reporting.report(account, txid="t1", payout="2", click_id=forged, **hints)
        assert (said["verdict"], said["conversion"]) == ("bad_mac", None)
    assert await pending(asha) == 0
    # What is nobody's stays so, and the network still says how it stands.
    known = await reporting.report(account, txid="t1", payout="2", status="pending")
    again = {"txid": "t1", "payout": "2", "status": "approved", "click_id": forged}
    assert (await reporting.report(account, **again, coupon="TEA10"))["verdict"] == "updated"
    found = await attributed(client, known)
    assert (found["how"], found["hints"]) == ("none", {})
    # Somebody else's tag is no forgery.
    other = await reporting.report(account, txid="t2", payout="2", click_id="mail", coupon="TEA10")
    assert (await attributed(client, other))["how"] == "coupon"


async def test_a_hint_that_comes_later_is_taken_and_a_second_look_finds_more(
    client: Client, db: Db, asha: cash.Person, account: Account, shop: Shop
) -> None:
    said = await reporting.report(account, txid="t1", payout="2", click_id="not-ours")
    assert said["verdict"] == "bad_mac"
    said = await reporting.report(account, txid="t1", payout="2")
    assert (await attributed(client, said))["reasons"] == ["no click id of ours came with it"]
    later = await reporting.report(account, txid="t1", payout="2", coupon="TEA10")
    assert later["verdict"] == "updated"
    found = await attributed(client, said)
    assert (found["how"], found["reasons"]) == ("none", ["no click fits what came with it"])
    await click(client, db, shop, asha.id)
    path = f"/v1/conversions/{said['conversion']}/revalue"
    assert (await client.post(path, {"reason": "the click came late"})).status == 200
    assert (await attributed(client, said))["how"] == "coupon"
    assert await pending(asha) == 100


async def test_a_conversion_is_its_members_alone(
    client: Client, app: App, db: Db, asha: cash.Person
) -> None:
    ravi, account = await cash.person(client, app), await reporting.network(client)
    click = await reporting.click(client, db, asha.id)
    told = await reporting.report(account, click_id=click, txid="t1", payout="5")
    path = f"/v1/conversions/{told['conversion']}"
    assert (await asha.client.get(path)).status == 200
    assert (await ravi.client.get(path)).code == "conversion_not_found"
