"""Members who bring others, and what those buy, as networks report it."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any, Final

import asyncpg
import pytest

from core import clickid, conversions, ids
from core.conversions import Item
from core.networks import Rules
from core.programs import ProgramSettings, ReferralRules
from core.providers.affiliate.report import Report
from core.referrals import Referral
from db import conversions as stored
from db import (
    members,
    money,
    networks,
    pg,
    programs,
    referral_codes,
    referrals,
    webhooks,
)
from db.bookings import Act
from db.referrals import Wanted
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM
from tests.db.test_conversions import ROW

LINK: Final = "lnk_01h455vb4pex5vsknk084sn02q"
NETWORKS: Final = ("net_1", "net_2")
RULES: Final[dict[str, Any]] = {"is_on": True, "referrer_minor": 100, "referee_minor": 50}
#: Members' rows have the clock of PostgreSQL.
NOW: Final = dt.datetime.now(dt.UTC)
_numbers: Final = itertools.count(1)


@pytest.fixture(autouse=True)
async def shop(db: pg.Db) -> None:
    for network_id in NETWORKS:
        new = networks.New(
            provider="generic",
            name="Shops",
            config={"currency": "INR"},
            rules=Rules(),
            credentials=None,
        )
        await networks.add(db, RING, PROGRAM, network_id, new, network_id.encode())
    await set_rules(db)


async def set_rules(db: pg.Db, **rules: Any) -> None:
    settings = ProgramSettings(referrals=ReferralRules(**RULES | rules))
    async with db.transaction():
        await programs.change(db, PROGRAM, {"settings": settings})


async def join(db: pg.Db) -> str:
    """A new member with a code; the member's id."""
    member_id = f"mem_{next(_numbers):03d}"
    await members.add(db, RING, PROGRAM, member_id, members.NewMember())
    async with db.transaction():
        await referral_codes.make(db, PROGRAM, member_id, f"rfc_{next(_numbers)}", NOW)
    return member_id


async def code_of(db: pg.Db, member_id: str) -> str:
    found = await referral_codes.find(db, PROGRAM, member_id)
    assert found is not None
    return found.code


async def claim(db: pg.Db, member_id: str, code: str, *, at: dt.datetime | None = None) -> Referral:
    async with db.transaction():
        return await referrals.claim(
            db,
            RING,
            PROGRAM,
            member_id,
            code,
            referral_id=f"ref_{next(_numbers):03d}",
            now=at or dt.datetime.now(dt.UTC),
        )


async def bring(db: pg.Db, referrer_id: str) -> str:
    """A new member who came by somebody's code."""
    member_id = await join(db)
    await claim(db, member_id, await code_of(db, referrer_id))
    return member_id


class Shopping:
    """Purchases of members, as networks report them."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 7)

    async def click(self, member_id: str) -> str:
        self._minter.sequence = next(_numbers)
        at_ms = (NOW - conversions.EPOCH) // dt.timedelta(milliseconds=1) - 60_000
        text = self._minter.mint(at_ms, PROGRAM, ids.link_bits(LINK))
        at = conversions.moment(clickid.decode(text).ms)
        await self._owner.execute(ROW, at.date(), text, PROGRAM, LINK, at, member_id)
        return text

    async def report(
        self, member_id: str, txn: str = "", status: str = "approved", **fields: Any
    ) -> Report:
        values: dict[str, Any] = {
            "txn_id": txn or f"t{next(_numbers)}",
            "status": status,
            "commission_minor": 10,
            "currency": "INR",
            "click_id": await self.click(member_id),
        }
        return Report(**values | fields)


@pytest.fixture
async def shopping(database: DatabaseUrls) -> Any:
    owner = await asyncpg.connect(database.migrate)
    yield Shopping(owner)
    await owner.close()


async def apply(
    db: pg.Db, *reports: Report, network_id: str = "net_1", at: dt.datetime = NOW
) -> None:
    """One network reports these, in the caller's transaction."""
    network = await networks.lock(db, PROGRAM, network_id)
    act = Act("network", at, dt.timedelta(days=7))
    await stored.apply(db, RING, network, [Item(one) for one in reports], act)


async def tell(db: pg.Db, *reports: Report, **more: Any) -> None:
    async with db.transaction():
        await apply(db, *reports, **more)


async def of(db: pg.Db, member_id: str) -> Referral:
    [one] = await referrals.page(
        db, PROGRAM, before="", limit=9, wanted=Wanted(member_id=member_id)
    )
    return one


async def purse(db: pg.Db, member_id: str) -> int:
    """What is available to a member; the ledger is sound."""
    assert await money.check(db) == []
    found = await money.balances(db, PROGRAM, member_id)
    return found.get(("INR", "available"), 0)


async def spent(db: pg.Db) -> int:
    totals = {one.role: one.total_minor for one in await money.totals(db, PROGRAM)}
    return -totals.get("referral", 0)


async def listen(db: pg.Db) -> None:
    new = webhooks.NewEndpoint(
        url="https://hooks.example.com/",
        events=["referral.qualified", "referral.reversed", "referral.budget_exhausted"],
    )
    await webhooks.add(db, RING, PROGRAM, "whk_1", new, "secret")


async def told(db: pg.Db) -> list[str]:
    rows = await db.fetch(
        "SELECT type FROM webhook_delivery WHERE program_id = $1 ORDER BY type", PROGRAM
    )
    return [row["type"].removeprefix("referral.") for row in rows]
