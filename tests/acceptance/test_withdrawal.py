"""Flow 2, from a member's first look at the wallet to the bank's reference, and back again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from core.settings import Settings
from db import outbox
from gateway.app import App
from tests.gateway import cash
from tests.gateway.cash import RUPEES
from tests.gateway.conftest import Client, Db
from tests.gateway.test_payout_events import say
from tests.gateway.test_withdrawals import set_rules
from tests.providers.payouts import server
from tests.providers.payouts.__main__ import KINDS as PROVIDERS
from tests.providers.payouts.server import Server
from web.outbound import Outbound
from web.providers import payouts
from workers import jobs
from workers.broker import Tools
from workers.channels import table

KINDS = ["pay_withdrawal", "send_notification"]


@pytest.fixture(params=PROVIDERS)
async def bank(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with server.running(PROVIDERS[request.param]) as running:
        yield running


@pytest.fixture
def settings(settings: Settings, bank: Server, tmp_path: Path) -> Settings:
    path = tmp_path / "providers.json"
    path.write_bytes(msgspec.json.encode({"payouts": {bank.slug: bank.config()}}))
    return replace(
        settings,
        providers_file=str(path),
        outbox_dir=str(tmp_path / "outbox"),
        outbound_allow="127.0.0.1",
    )


async def work(app: App) -> None:
    """What the workers do with all that is due."""
    outbound = Outbound(allow=app.settings.outbound_allow)
    channels = table.chosen(app.settings)
    tools = Tools(
        *(app.settings, app.ring, app.pool, app.redis, outbound.send, channels, app.storage),
        payouts=payouts(app.settings),
    )
    async with app.pool.acquire() as db:
        tickets = await outbox.claim(db, app.now_ms() + 1_000, KINDS, 100)
    for ticket in tickets:
        await jobs.perform(tools, ticket.id, ticket.attempt)
    await outbound.close()


def mails(app: App) -> list[str]:
    """The subjects of the mails that were sent."""
    found = [
        message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in Path(app.settings.outbox_dir).glob("*.eml")
    ]
    return sorted(str(mail["Subject"]) for mail in found)


async def test_a_withdrawal_from_the_wish_to_the_bank_and_back(
    client: Client, staff: Client, app: App, db: Db, bank: Server
) -> None:
    await set_rules(client, staff, provider=bank.slug, two_approvals_above_minor=150 * RUPEES)
    asha, one, other = await cash.person(client, app), *(cash.operator(client, n) for n in (1, 2))
    await cash.credit(app, asha, 500 * RUPEES)

    # Nothing goes before it is known who asks, and where to.
    await cash.method(asha, cash.BANK)
    assert (await cash.ask(asha, 200 * RUPEES)).code == "kyc_not_verified"
    await cash.verified(client, asha)
    path = f"/v1/withdrawals/{await cash.requested(asha, 200 * RUPEES)}"
    assert await cash.balance(asha) == (300 * RUPEES, 200 * RUPEES)
    assert await cash.is_sound(app)

    # Two operators let it go; the provider takes it, and pays later.
    assert (await one.post(f"{path}/approve", {})).body["state"] == "requested"
    await work(app)
    assert bank.asked == []
    assert (await other.post(f"{path}/approve", {})).body["state"] == "approved"
    await work(app)
    assert (await asha.client.get(path)).body["state"] == "paying"
    assert await cash.balance(asha) == (300 * RUPEES, 200 * RUPEES)
    await bank.settle(path.rpartition("/")[2], "paid")
    await db.execute("UPDATE outbox SET due_at = now()")
    await work(app)
    seen = (await asha.client.get(path)).body
    assert (seen["state"], seen["utr"]) == ("paid", bank.kept[seen["id"]].utr)
    assert await cash.balance(asha) == (300 * RUPEES, 0)
    assert await cash.is_sound(app)
    assert (bank.asked.count("pay"), bank.effects) == (1, [seen["id"]])
    await work(app)
    assert f"Withdrawal processed! UTR: {seen['utr']}" in mails(app)

    # The bank sends it back, twice.
    for _ in range(2):
        await say(client, bank.slug, seen["id"], "reversed", 200 * RUPEES)
    assert (await asha.client.get(path)).body["state"] == "reversed"
    assert await cash.balance(asha) == (500 * RUPEES, 0)
    assert await cash.is_sound(app)
    await work(app)
    assert "Your withdrawal of ₹200.00 came back" in mails(app)
    lines = (await asha.client.get("/v1/wallet/transactions")).body["data"]
    assert [line["balance_minor"] for line in lines] == [500 * RUPEES, 300 * RUPEES, 500 * RUPEES]
