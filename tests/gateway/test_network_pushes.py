"""Pushes of networks that have a form of their own, as these networks send them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest

from gateway import receiving
from tests.gateway import reporting
from tests.gateway.conftest import Answer, Client, Db

NOW: Final = dt.datetime.now(dt.UTC)
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


class Push(NamedTuple):
    """What a network sends."""

    kind: str
    body: bytes


def awin(txn: str, click: str, status: str) -> Push:
    """JSON in a field of a form; Awin says nothing of a status, unless it is set up to."""
    said: dict[str, Any] = {
        "transactionId": txn,
        "transactionDate": NOW.strftime("%Y-%m-%d %H:%M:%S"),
        "transactionCurrency": "INR",
        "transactionAmount": "33.7",
        "affiliateId": "45628",
        "merchantId": "3661",
        "groupId": "0",
        "bannerId": "0",
        "clickRef": click,
        "commission": "5.00",
        "commissionGroups": [{"id": "1", "code": "DEFAULT", "amount": "33.7"}],
        "products": [],
        "state": status,
    }
    return Push(FORM, urlencode({"AwinTransactionPush": msgspec.json.encode(said)}).encode())


def impact(txn: str, click: str, status: str) -> Push:
    """A notification with the body that the account was set up with."""
    said: dict[str, Any] = {
        "campaign_id": "10306",
        "action_id": txn,
        "status": status.upper(),
        "payout": "5.00",
        "Currency": "INR",
        "SubId1": click,
        "items": [{"sku": "APP-0016", "qty": "1", "amt": "719.10"}],
    }
    return Push(JSON, msgspec.json.encode(said))


def admitad(txn: str, click: str, status: str) -> Push:
    """A form with the macros filled in, but for those that were empty."""
    said = {
        "admitad_id": txn,
        "subid4": click,
        "subid": "[[[subid]]]",
        "payment_status": status,
        "payment_sum": "5.00",
        "currency": "INR",
        "order_id": "A-17",
        "time": str(int(NOW.timestamp())),
    }
    return Push(FORM, urlencode(said).encode())


class Kind(NamedTuple):
    """A network: how its account is set up, and what it sends."""

    config: dict[str, Any]
    push: Callable[[str, str, str], Push]


WORDS: Final = {"pending": "pending", "approved": "approved"}
KINDS: Final = {
    "awin": Kind(
        {"publisher_id": "45628", "field_map": {"status": "state"}, "status_map": WORDS}, awin
    ),
    "impact": Kind({}, impact),
    "admitad": Kind({}, admitad),
}


class Account(NamedTuple):
    """An account at one of them; `path` is where it pushes to."""

    id: str
    token: str
    kind: Kind
    client: Client
    path: str

    async def send(self, push: Push, path: str = "", accept: str | None = JSON) -> Answer:
        """The network pushes."""
        headers = {"Content_Type": push.kind, "Accept": accept, "Authorization": None}
        return await self.client.call("POST", path or self.path, push.body, **headers)

    async def verdict(self, push: Push, path: str = "") -> str:
        answer = await self.send(push, path)
        assert answer.status == 200, answer
        return str(answer.body["verdict"])


async def enter(client: Client, slug: str, **fields: Any) -> Account:
    kind = KINDS[slug]
    body = {"provider": slug, "name": slug, "config": kind.config, **fields}
    made = await client.post("/v1/networks", body)
    assert made.status == 201, made
    own, token = str(made.body["id"]), str(made.body["postback_token"])
    return Account(own, token, kind, client, f"/webhooks/{slug}/{own}/{token}")


@pytest.fixture(params=KINDS)
async def account(request: pytest.FixtureRequest, client: Client) -> Account:
    return await enter(client, request.param)


async def stored(account: Account) -> list[dict[str, Any]]:
    listed = await account.client.get(f"/v1/networks/{account.id}/postbacks")
    return list(listed.body["data"])


async def test_a_push_is_kept_as_it_came_and_makes_a_conversion(
    account: Account, client: Client, db: Db
) -> None:
    click = await reporting.click(client, db, None)
    push = account.kind.push("281", click, "approved")
    answer = await account.send(push, accept=None)
    assert (answer.status, answer.body) == (200, b"OK")
    [kept] = await stored(account)
    assert kept["body"] == push.body.decode()
    assert await account.verdict(push) == "accepted"
    [made] = (await client.get("/v1/conversions")).body["data"]
    assert (made["txn_id"], made["click_id"], made["state"]) == ("281", click, "approved")
    assert made["commission_minor"] == 500


async def test_a_push_that_comes_again_changes_nothing_wherever_it_comes(account: Account) -> None:
    push = account.kind.push("281", "", "approved")
    assert await account.verdict(push) == "accepted"
    assert await account.verdict(push) == "duplicate"
    assert await account.verdict(push, f"/postback/{account.id}/{account.token}") == "duplicate"


@pytest.mark.parametrize("slug", KINDS)
@pytest.mark.parametrize(
    ("dedupe", "verdict"), [("reject", "duplicate"), ("update_status", "updated")]
)
async def test_news_of_a_transaction_do_what_the_account_says(
    client: Client, slug: str, dedupe: str, verdict: str
) -> None:
    account = await enter(client, slug, rules={"dedupe": dedupe})
    word = "new" if slug == "admitad" else "pending"
    assert await account.verdict(account.kind.push("281", "", word)) == "accepted"
    assert await account.verdict(account.kind.push("281", "", "approved")) == verdict


async def test_only_the_accounts_own_address_is_answered(
    account: Account, client: Client, db: Db
) -> None:
    push = account.kind.push("281", "", "approved")
    wrong = account.path[:-1] + ("a" if account.path[-1] != "a" else "b")
    assert (await account.send(push, wrong)).status == 403
    assert [one["verdict"] for one in await stored(account)] == ["bad_token"]
    for slug in KINDS:
        path = f"/webhooks/{slug}/{account.id}/{account.token}"
        if path != account.path:
            assert (await account.send(push, path)).status == 404
    nobody = account.path.replace("net_0", "net_1")
    assert (await account.send(push, nobody)).status == 404
    generic = await reporting.network(client)
    for slug in KINDS:
        path = generic.path.replace("/postback", f"/webhooks/{slug}")
        assert (await account.send(push, path)).status == 404
    assert await db.fetchval("SELECT count(*) FROM postback") == 1


async def test_a_push_that_is_cut_off_is_kept_and_says_so(account: Account, db: Db) -> None:
    whole = account.kind.push("281", "", "approved")
    for length in range(0, len(whole.body), 17):
        answer = await account.send(whole._replace(body=whole.body[:length]))
        assert answer.status == 200
    found = await stored(account)
    is_form = account.kind is KINDS["admitad"]
    # A form does not show that it was cut off; HTTP has told its length.
    assert is_form or {one["verdict"] for one in found} == {"malformed"}
    assert len(found) == len(range(0, len(whole.body), 17))
    assert is_form or await db.fetchval("SELECT count(*) FROM conversion") == 0


async def test_an_unknown_word_waits_until_it_is_mapped(account: Account, client: Client) -> None:
    push = account.kind.push("281", "", "odd")
    assert await account.verdict(push) == "status_unknown"
    assert (await client.get("/v1/conversions")).body["data"] == []
    config = {**account.kind.config, "status_map": {**WORDS, "odd": "approved"}}
    await client.patch(f"/v1/networks/{account.id}", {"config": config})
    [kept] = await stored(account)
    again = await client.post(f"/v1/postbacks/{kept['id']}/replay", {})
    assert again.body["verdict"] == "accepted"


async def test_what_could_not_be_kept_is_not_acknowledged(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = account.kind.push("281", "", "approved")
    monkeypatch.setattr(receiving, "PENDING_MAX", 0)
    assert (await account.send(push)).status == 503
    assert await stored(account) == []
    monkeypatch.undo()
    assert await account.verdict(push) == "accepted"


@pytest.mark.parametrize(
    ("slug", "query"),
    [
        ("awin", "transactionId=281&clickRef=!!!clickRef!!!&commission=5&transactionCurrency=INR"),
        ("impact", "action_id=281&Status=APPROVED&Payout=5.00&Currency=INR&SubId1="),
        ("admitad", "admitad_id=281&payment_status=new&payment_sum=5&currency=INR"),
    ],
)
async def test_a_push_may_be_a_query(client: Client, slug: str, query: str) -> None:
    account = await enter(client, slug)
    answer = await client.call(
        "GET", f"{account.path}?{query}", Authorization=None, Accept="application/json"
    )
    assert (answer.status, answer.body["verdict"]) == (200, "accepted")
