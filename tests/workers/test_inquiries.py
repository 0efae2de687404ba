"""Networks are asked about the purchases of claims: once, by the way that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core import conversions, tasks
from core.claim_rules import Facts
from core.claims import Act, Claim
from core.merchants import MerchantConfig
from core.networks import Rules
from core.offers import OfferConfig
from db import claims, inquiries, members, merchants, networks, notifications, offers, outbox
from tests.conftest import RING
from tests.providers.affiliate.impact import INQUIRIES, Impact
from tests.providers.affiliate.server import EPOCH_MS
from tests.providers.server import Fault, running
from tests.workers.conftest import PROGRAM, Db
from workers import jobs
from workers.broker import Tools

NOW = conversions.moment(EPOCH_MS)
CAMPAIGN = "https://tea.sjv.io/c/11/22/10306"
ADDRESS = "support@network.example"
ROWS = "SELECT id, attempts FROM outbox WHERE task = 'ask_network'"
INSERT = """
INSERT INTO claim SELECT * FROM jsonb_populate_record(NULL::claim, $1::jsonb)
"""
CLAIM = Claim(
    id="clm_1",
    program_id=PROGRAM,
    member_id="mem_1",
    state="opened",
    version=1,
    click_id="c0ffee",
    clicked_at=NOW,
    offer_id="off_1",
    merchant_id="mrc_1",
    network_id="net_1",
    order_id="OD-1",
    order_minor=4_999,
    order_currency="INR",
    ordered_at=NOW,
    proposal="send_to_network",
    reasons=["cashback_unknown"],
    facts=Facts(),
    currency="INR",
    language="en",
    opened_by="mem_1",
    opened_at=NOW,
    updated_at=NOW,
)


@pytest.fixture
async def impact() -> AsyncIterator[Impact]:
    async with running(Impact) as listening:
        yield listening


async def add(db: Db, provider: str, config: dict[str, Any], secret: Any = None) -> None:
    new = networks.New(
        provider=provider, name="Shops", config=config, rules=Rules(), credentials=secret
    )
    await networks.add(db, RING, PROGRAM, "net_1", new, b"")


@pytest.fixture(autouse=True)
async def shop(db: Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await members.add(db, RING, PROGRAM, "mem_1", members.NewMember())
    await merchants.add(db, PROGRAM, "mrc_1", MerchantConfig(name="Tea Shop"))
    offer = OfferConfig(
        merchant_id="mrc_1",
        title="Tea",
        kind="deal",
        destination="https://shop.example/",
        network_campaign=CAMPAIGN,
    )
    await offers.add(db, PROGRAM, [offers.Draft("off_1", "lnk_1", offer)], lambda: "tea", ())


async def send(db: Db, **changes: Any) -> None:
    """An operator sends the claim to its network."""
    made = msgspec.structs.replace(CLAIM, **changes)
    await db.execute(INSERT, msgspec.json.encode(made).decode())
    async with db.transaction():
        before = await claims.lock(db, PROGRAM, made.id)
        await claims.take(db, RING, before, "send_to_network", Act(by="opr_1", at=NOW))


async def start(tools: Tools, db: Db) -> Any:
    """One start of what waits; the row that is left."""
    for row in await db.fetch(ROWS):
        await jobs.perform(tools, row["id"], row["attempts"])
    return await db.fetchrow(ROWS)


async def asked(db: Db) -> tuple[str | None, str | None, str | None]:
    found = await inquiries.get(db, PROGRAM, "clm_1")
    assert found is not None
    assert (found.asked_at is not None) == (found.way in {"api", "mail"})
    return found.way, found.reference, found.problem


async def mails(db: Db) -> list[str]:
    rows = await db.fetch("SELECT template FROM notification WHERE recipient_kind = 'network'")
    return [row["template"] for row in rows]


async def test_a_network_with_an_api_is_asked_by_it_once(
    tools: Tools, db: Db, impact: Impact
) -> None:
    await add(db, "impact", {**impact.config(), "contact_email": ADDRESS}, impact.credentials())
    await send(db)
    assert await start(tools, db) is None
    assert await asked(db) == ("api", "15652378", None)
    [one] = impact.inquiries
    assert (one["CampaignId"], one["OrderId"]) == ("10306", "OD-1")
    # Whoever performs the task once more finds it done.
    calls = len(impact.asked)
    await outbox.add(db, tasks.AskNetwork(PROGRAM, "clm_1"))
    assert await start(tools, db) is None
    assert (len(impact.asked), await mails(db)) == (calls, [])


async def test_a_kill_before_the_note_asks_no_second_time(
    tools: Tools, db: Db, impact: Impact, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(db, "impact", impact.config(), impact.credentials())
    await send(db)

    async def killed(*_: Any, **__: Any) -> bool:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(inquiries, "note", killed)
        assert await start(tools, db) is not None
    assert await start(tools, db) is None
    assert await asked(db) == ("api", "15652378", None)
    assert len(impact.inquiries) == 1


@pytest.mark.parametrize("fault", [Fault(503), Fault(429)], ids=str)
async def test_a_network_that_cannot_be_asked_now_is_asked_later(
    tools: Tools, db: Db, impact: Impact, fault: Fault
) -> None:
    await add(db, "impact", {**impact.config(), "contact_email": ADDRESS}, impact.credentials())
    await send(db)
    impact.faults[INQUIRIES] = [fault]
    assert await start(tools, db) is not None
    way, _, problem = await asked(db)
    assert way is None
    assert problem
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE due_at > now() + '50 s'") == 1
    assert await start(tools, db) is None
    assert await asked(db) == ("api", "15652378", None)
    assert await mails(db) == []


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_network_that_refuses_gets_mail_if_somebody_is_named(
    tools: Tools, db: Db, impact: Impact, *, is_known: bool
) -> None:
    named = {"contact_email": ADDRESS} if is_known else {}
    await add(db, "impact", {**impact.config(), **named}, impact.credentials())
    await send(db)
    impact.faults[INQUIRIES] = [Fault(403)]
    assert await start(tools, db) is None
    way = "mail" if is_known else "file"
    assert await asked(db) == (way, None, "the network does not take the credentials")
    assert await mails(db) == ["claim_inquiry"] * is_known


async def test_others_get_mail_that_says_what_they_need(tools: Tools, db: Db) -> None:
    await add(db, "generic", {"contact_email": ADDRESS})
    await send(db)
    assert await start(tools, db) is None
    assert await asked(db) == ("mail", None, None)
    name = await db.fetchval("SELECT id FROM notification WHERE recipient_kind = 'network'")
    found = await notifications.load(db, RING, name)
    assert found is not None
    assert (found.recipient_id, found.address) == ("net_1", ADDRESS)
    assert found.variables == {
        "claim": "clm_1",
        "order": "OD-1",
        "amount": "49.99 INR",
        "ordered_at": "2026-08-20 00:00:00 UTC",
        "merchant": "Tea Shop",
        "click": "c0ffee",
        "clicked_at": "2026-08-20 00:00:00 UTC",
    }
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'send_notification'") == 1


@pytest.mark.parametrize("network_id", ["admitad", None, "net_9"])
async def test_without_an_account_the_file_is_left(
    tools: Tools, db: Db, network_id: str | None
) -> None:
    await send(db, network_id=network_id)
    assert await start(tools, db) is None
    assert await asked(db) == ("file", None, None)


async def test_what_was_answered_meanwhile_is_not_asked(
    tools: Tools, db: Db, impact: Impact
) -> None:
    await add(db, "impact", impact.config(), impact.credentials())
    await send(db)
    await db.execute("UPDATE claim SET state = 'settled'")
    assert await start(tools, db) is None
    assert (await asked(db), impact.inquiries) == ((None, None, None), [])
