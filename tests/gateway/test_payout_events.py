"""What providers of payouts say, over HTTP: verified over its bytes, followed once, and forward."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from core.settings import Settings
from core.withdrawals import News
from db import withdrawals
from db.withdrawals import Act
from gateway.app import App
from tests.gateway import cash, faults, people, wires
from tests.gateway.cash import NOW, RUPEES, Person
from tests.gateway.conftest import Answer, Client, Db, running
from tests.gateway.faults import told as told_to
from tests.gateway.test_withdrawals import set_rules, told
from tests.providers.payouts.__main__ import KINDS
from tests.providers.payouts.cashfree import CLIENT
from tests.providers.payouts.razorpayx import WEBHOOK_SECRETS
from tests.providers.payouts.server import Kept

SLUGS = tuple(KINDS)
WEBHOOK_SECRET = WEBHOOK_SECRETS[0]
_numbers = itertools.count(1)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    path = tmp_path / "providers.json"
    sections = {slug: kind("http://127.0.0.1:9").config() for slug, kind in KINDS.items()}
    path.write_bytes(msgspec.json.encode({"payouts": sections}))
    return replace(settings, providers_file=str(path))


def call_of(
    slug: str, id_: str, state: str, *, secret: str = "", amount_minor: int = 100 * RUPEES
) -> tuple[bytes, dict[str, str]]:
    """A provider's call, and its headers."""
    said = Kept(
        id=id_, theirs="7", amount_minor=amount_minor, account={}, name="", mode="", asked=b"",
        state=cast("News", state), utr="UTR7", reason="Sent back",
    )  # fmt: skip
    headers, body = KINDS[slug]("").call(said, next(_numbers), secret)
    return body, headers


async def send(client: Client, slug: str, body: bytes, headers: dict[str, str]) -> Answer:
    nobody = Client(client.session, client.url, {})
    named: dict[str, Any] = {"Content-Type": "application/json", **headers}
    return await nobody.call("POST", f"/webhooks/{slug}", body, **named)


async def say(
    client: Client, slug: str, id_: str, state: str, amount_minor: int = 100 * RUPEES
) -> None:
    call = call_of(slug, id_, state, amount_minor=amount_minor)
    answer = await send(client, slug, *call)
    assert (answer.status, answer.body) == (200, {"received": True}), answer


async def paying(client: Client, staff: Client, app: App, slug: str) -> tuple[Person, str]:
    """A member, and a withdrawal that the provider was told to pay."""
    await set_rules(client, staff, provider=slug)
    asha = await cash.payable(client, app, 100 * RUPEES)
    id_ = await cash.requested(asha, 100 * RUPEES)
    done = await cash.operator(client).post(f"/v1/withdrawals/{id_}/approve", {})
    assert (done.body["state"], done.body["provider"]) == ("approved", slug)
    async with app.transaction() as db:
        before = await withdrawals.lock(db, app.ring, people.program(client), id_)
        await withdrawals.take(db, app.ring, before, "send", Act(by="payouts", at=NOW))
    return asha, id_


async def state(asha: Person, id_: str) -> str:
    return str((await asha.client.get(f"/v1/withdrawals/{id_}")).body["state"])


async def outcomes(db: Db) -> list[str]:
    rows = await db.fetch("SELECT outcome FROM payout_event ORDER BY received_at, event_id")
    return [row["outcome"] for row in rows]


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_payout_is_settled_and_the_member_told(
    client: Client, staff: Client, app: App, db: Db, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    await say(client, slug, id_, "under_way")
    assert await state(asha, id_) == "paying"
    await say(client, slug, id_, "paid")
    seen = (await asha.client.get(f"/v1/withdrawals/{id_}")).body
    assert (seen["state"], seen["utr"]) == ("paid", "UTR7")
    assert await cash.balance(asha) == (0, 0)
    assert (await told(db))[-1] == "withdrawal_paid"
    assert await cash.is_sound(app)


@pytest.mark.parametrize("slug", SLUGS)
async def test_what_the_bank_sends_back_is_available_again(
    client: Client, staff: Client, app: App, db: Db, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    await say(client, slug, id_, "paid")
    await say(client, slug, id_, "reversed")
    seen = (await asha.client.get(f"/v1/withdrawals/{id_}")).body
    assert (seen["state"], seen["utr"]) == ("reversed", "UTR7")
    assert await cash.balance(asha) == (100 * RUPEES, 0)
    assert (await told(db))[-1] == "withdrawal_reversed"
    # Late and repeated words change nothing.
    for word in ("paid", "under_way", "reversed", "failed"):
        await say(client, slug, id_, word)
    assert await state(asha, id_) == "reversed"
    assert await cash.balance(asha) == (100 * RUPEES, 0)
    assert await cash.is_sound(app)


@pytest.mark.parametrize("slug", SLUGS)
async def test_what_failed_is_given_back_and_not_paid_by_a_late_word(
    client: Client, staff: Client, app: App, db: Db, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    await say(client, slug, id_, "failed")
    assert await state(asha, id_) == "failed"
    assert await cash.balance(asha) == (100 * RUPEES, 0)
    await say(client, slug, id_, "paid")
    assert (await state(asha, id_), await outcomes(db)) == ("failed", ["applied", "odd"])
    assert await cash.balance(asha) == (100 * RUPEES, 0)


async def test_the_words_of_a_provider_are_for_operators(
    client: Client, staff: Client, app: App
) -> None:
    asha, id_ = await paying(client, staff, app, "razorpayx")
    async with app.transaction() as db:
        before = await withdrawals.lock(db, app.ring, people.program(client), id_)
        word = Act(by="razorpayx", at=NOW, reason="The account of the program is empty")
        await withdrawals.take(db, app.ring, before, "fail", word)
    path = f"/v1/withdrawals/{id_}"
    assert (await asha.client.get(path)).body["reason"] is None
    assert (await cash.operator(client).get(path)).body[
        "reason"
    ] == "The account of the program is empty"


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("word", ["under_way", "paid", "failed"])
async def test_a_word_about_another_amount_is_left_to_an_operator(
    client: Client, staff: Client, app: App, db: Db, slug: str, word: str
) -> None:
    hook = {"url": "https://hooks.example.com/", "events": ["withdrawal.unclear"]}
    assert (await client.post("/v1/webhook-endpoints", hook)).status == 201
    asha, id_ = await paying(client, staff, app, slug)
    await say(client, slug, id_, word, 99 * RUPEES)
    [heard] = await db.fetch("SELECT type, body FROM webhook_delivery")
    assert heard["type"] == "withdrawal.unclear"
    assert msgspec.json.decode(heard["body"])["data"]["state"] == "unclear"
    operator, path = cash.operator(client), f"/v1/withdrawals/{id_}"
    seen = (await operator.get(path)).body
    assert (seen["state"], await cash.balance(asha)) == ("unclear", (0, 100 * RUPEES))
    assert f"The provider says {word} of another amount" in seen["reason"]
    own = (await asha.client.get(path)).body
    assert (own["state"], own["reason"]) == ("paying", None)
    # Nothing that it says now is followed.
    for later in ("paid", "failed", "reversed"):
        await say(client, slug, id_, later)
    [listed] = (await operator.get("/v1/withdrawals?state=unclear")).body["data"]
    assert listed["id"] == id_
    done = await operator.post(f"{path}/complete", {"utr": "UTR123456"})
    assert (done.body["state"], done.body["reason"]) == ("paid", None)
    assert done.body["provider_reference"] == "7"
    assert await cash.balance(asha) == (0, 0)
    # What was sent back is given back only if it is all of it.
    await say(client, slug, id_, "reversed", 99 * RUPEES)
    assert (await state(asha, id_), (await outcomes(db)).count("odd")) == ("paid", 2)
    assert await cash.is_sound(app)


@pytest.mark.parametrize("slug", SLUGS)
async def test_what_is_unclear_may_be_given_back(
    client: Client, staff: Client, app: App, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    await say(client, slug, id_, "paid", 1)
    done = await cash.operator(client).post(f"/v1/withdrawals/{id_}/reject", {"reason": "Not paid"})
    assert (done.body["state"], await cash.balance(asha)) == ("rejected", (100 * RUPEES, 0))
    assert await cash.is_sound(app)


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_call_that_comes_again_is_kept_once(
    client: Client, staff: Client, app: App, db: Db, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    body, headers = call_of(slug, id_, "paid")
    answers = await asyncio.gather(*(send(client, slug, body, headers) for _ in range(6)))
    assert {one.status for one in answers} == {200}
    assert await outcomes(db) == ["applied"]
    assert await state(asha, id_) == "paid"
    paid = await db.fetchval(
        "SELECT count(*) FROM money_transaction WHERE subject = $1 AND type = 'withdrawal_paid'",
        id_,
    )
    assert paid == 1


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("flaw", ["secret", "body", "missing", "not_hex", "truncated"])
async def test_what_the_provider_did_not_sign_is_refused(
    client: Client, staff: Client, app: App, db: Db, slug: str, flaw: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    body, headers = call_of(slug, id_, "paid", secret="wrong" if flaw == "secret" else "")
    name = next(one for one in headers if "signature" in one.lower())
    if flaw == "body":
        body = body.replace(b"UTR7", b"UTR8")
    elif flaw == "missing":
        del headers[name]
    elif flaw == "not_hex":
        headers[name] = "é!"[1:] * 8
    elif flaw == "truncated":
        body = body[:-5]
    refused = await send(client, slug, body, headers)
    assert (refused.status, refused.code) == (401, "signature_invalid")
    assert (await state(asha, id_), await outcomes(db)) == ("paying", [])


@pytest.mark.parametrize("slug", SLUGS)
async def test_each_fault_has_the_answer_of_the_page(
    client: Client, staff: Client, app: App, settings: Settings, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    said, (body, headers) = faults.ANSWERS[slug], call_of(slug, id_, "paid")
    assert told_to(await send(client, slug, *call_of(slug, id_, "paid", secret="x"))) == said.forged
    assert told_to(await send(client, slug, body[: len(body) // 2], headers)) == said.cut_off
    unknown = call_of(slug, id_, "a_new_word_of_theirs")
    assert told_to(await send(client, slug, *unknown)) == said.unknown_word
    async with wires.wired(settings) as (wire, led), running(led) as (_, url):
        far = Client(client.session, url, {})
        wire.cut()
        assert told_to(await send(far, slug, body, headers)) == said.away
        assert await state(asha, id_) == "paying"
        wire.is_cut = False
        assert (await send(far, slug, body, headers)).status == 200
    assert await state(asha, id_) == "paid"
    assert told_to(await send(client, slug, body, headers)) == said.again


async def test_a_call_of_the_secret_before_is_good(
    client: Client, staff: Client, app: App, db: Db
) -> None:
    asha, id_ = await paying(client, staff, app, "razorpayx")
    body, headers = call_of("razorpayx", id_, "paid", secret=WEBHOOK_SECRETS[1])
    assert (await send(client, "razorpayx", body, headers)).status == 200
    assert await state(asha, id_) == "paid"


async def test_a_call_of_last_week_is_refused(client: Client, staff: Client, app: App) -> None:
    _, id_ = await paying(client, staff, app, "cashfree-payouts")
    body, _ = call_of("cashfree-payouts", id_, "paid")
    moment = str((time.time_ns() // 1_000_000) - 7 * 86_400_000)
    digest = hmac.new(CLIENT[1].encode(), moment.encode() + body, hashlib.sha256).digest()
    headers = {
        "x-webhook-signature": base64.b64encode(digest).decode(),
        "x-webhook-timestamp": moment,
    }
    assert (await send(client, "cashfree-payouts", body, headers)).code == "signature_invalid"


@pytest.mark.parametrize("slug", SLUGS)
async def test_what_is_not_about_ours_is_kept_and_answered(
    client: Client, staff: Client, app: App, db: Db, slug: str
) -> None:
    asha, id_ = await paying(client, staff, app, slug)
    await say(client, slug, "wdr_01h455vb4pex5vsknk084sn02q", "paid")
    await say(client, slug, id_, "a_new_word_of_theirs")
    other = next(one for one in SLUGS if one != slug)
    await say(client, other, id_, "paid")
    assert await outcomes(db) == ["not_ours", "applied", "not_ours"]
    assert await state(asha, id_) == "paying"


async def test_an_event_about_another_thing_changes_nothing(client: Client, db: Db) -> None:
    body = b'{"event":"transaction.created","payload":{}}'
    made = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Razorpay-Signature": made, "x-razorpay-event-id": "evt_1"}
    assert (await send(client, "razorpayx", body, headers)).status == 200
    assert await outcomes(db) == ["not_ours"]


async def test_what_is_signed_and_cannot_be_read_is_refused(client: Client, db: Db) -> None:
    for body in (b"[]", b"{", b'{"event":"payout.processed"}', b"\xff"):
        made = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Razorpay-Signature": made, "x-razorpay-event-id": "evt_1"}
        assert (await send(client, "razorpayx", body, headers)).status == 422
    assert await outcomes(db) == []


async def test_a_call_is_not_readable_in_the_database(
    client: Client, staff: Client, app: App, db: Db
) -> None:
    _, id_ = await paying(client, staff, app, "razorpayx")
    await say(client, "razorpayx", id_, "paid")
    body = await db.fetchval("SELECT body FROM payout_event")
    assert b"UTR7" not in body
    entry = await db.fetchrow("SELECT action, object_id FROM audit_entry ORDER BY at DESC LIMIT 1")
    assert entry is not None
    assert tuple(entry) == ("withdrawal.news", id_)


async def test_an_approval_makes_a_task_once(
    client: Client, staff: Client, app: App, db: Db
) -> None:
    _, id_ = await paying(client, staff, app, "razorpayx")
    rows = await db.fetch("SELECT payload FROM outbox WHERE task = 'pay_withdrawal'")
    assert [msgspec.json.decode(row["payload"]) for row in rows] == [{"withdrawal_id": id_}]
    operator = cash.operator(client)
    for step, body in (("complete", {"utr": "UTR123"}), ("reject", {"reason": "x"})):
        refused = await operator.post(f"/v1/withdrawals/{id_}/{step}", body)
        assert (refused.status, refused.code) == (409, "withdrawal_not_open")


class TestWithoutProviders:
    """Nothing is set up."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, providers_file="")

    async def test_nobody_is_told_to_pay(self, client: Client, staff: Client, app: App) -> None:
        await set_rules(client, staff, provider="razorpayx")
        asha = await cash.payable(client, app, 100 * RUPEES)
        id_ = await cash.requested(asha, 100 * RUPEES)
        refused = await cash.operator(client).post(f"/v1/withdrawals/{id_}/approve", {})
        assert (refused.status, refused.code) == (404, "provider_not_found")
        assert await state(asha, id_) == "requested"

    async def test_nobody_calls(self, client: Client) -> None:
        answer = await send(client, "razorpayx", *call_of("razorpayx", "wdr_x", "paid"))
        assert (answer.status, answer.code) == (404, "provider_not_found")
