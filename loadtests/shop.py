"""A shop whose offers members have clicked, what networks say that they bought there, and what the
members must have of it in the end.

What they must have is reckoned here once more, in a few lines of whole numbers, which do not depend
on the order in which conversions come.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import asyncpg

from core import clickid, conversions, ids, keyring, offers, wallet
from core.keyring import KeyRing
from core.merchants import MerchantConfig
from core.networks import Rules, digest
from core.offers import Cashback, Fixed, MemberCap, OfCommission, OfferConfig, OfSale
from core.rates import Rate
from core.tasks import SyncNetwork
from db import exchange_rates, merchants, money, networks, outbox
from db import offers as stored
from db.pg import Db
from gateway import links
from loadtests import seed
from loadtests.stack import BenchStack

Status = Literal["pending", "approved", "rejected"]

OFFERS: Final = 200
# What is bought is bought of these, so that some members come to the cap.
SOLD: Final = 20
COMMISSION_BP: Final = 6_000
SALE_BP: Final = 200
NETWORK_BP: Final = 5_000
FIXED_MINOR: Final = 50
CAP: Final = 3
CASHBACKS: Final[Sequence[Cashback | None]] = (
    OfCommission(rate_bp=COMMISSION_BP),
    OfSale(rate_bp=SALE_BP),
    Fixed(amount_minor=FIXED_MINOR, currency="EUR"),
    # The network's rules say.
    None,
)
STATUSES: Final[Sequence[Status]] = ("approved",) * 5 + ("pending",) * 4 + ("rejected",)
CURRENCIES: Final = ("EUR", "EUR", "EUR", "USD")
CENTS_A_DOLLAR: Final = 92
RATE: Final = Rate(
    "USD", "EUR", dt.datetime(2020, 1, 1, tzinfo=dt.UTC), Decimal(CENTS_A_DOLLAR) / 100
)
CLICKED_AGO_MS: Final = 2 * 3_600_000
BOUGHT_AFTER_MS: Final = 300_000
# No redirector's: theirs count from one.
BOOT: Final = 0xFFFF
TOKEN: Final = "a-token-of-the-bench"
POLL_S: Final = 0.05
SYNCS_MAX_S: Final = 600.0

CLICK: Final = (
    *("day", "click_id", "program_id", "link_id", "clicked_at", "class", "reasons", "device"),
    *("system", "browser", "privacy_signal", "member_id"),
)
OWED: Final = """
SELECT member_id, sum(balance_minor)::bigint AS owed_minor FROM money_account
 WHERE program_id = $1 AND role = ANY($2::text[]) GROUP BY member_id
HAVING sum(balance_minor) <> 0
"""
SYNCS: Final = "SELECT count(*) FROM outbox WHERE task = 'sync_network'"
STATES: Final = "SELECT state, count(*) AS count FROM conversion WHERE program_id = $1 GROUP BY 1"


class Sale(NamedTuple):
    """A transaction as its network knows it; amounts are minor units of `currency`."""

    txn_id: str
    click_id: str
    member_id: str
    offer: int
    status: Status
    commission_minor: int
    sale_minor: int
    currency: str
    at_ms: int


class Shop(NamedTuple):
    """The shop; `links` are those of its offers, `sold` is what networks have told, or will."""

    program_id: str
    members: Sequence[str]
    links: Sequence[str]
    sold: list[Sale]
    ring: KeyRing
    minter: clickid.Minter


@asynccontextmanager
async def connected(stack: BenchStack) -> AsyncIterator[Db]:
    """A connection as the owner of the tables."""
    db = await asyncpg.connect(stack.settings.migration_url)
    try:
        yield db
    finally:
        await db.close()


async def open_shop(stack: BenchStack) -> Shop:
    """Store the shop, its offers, and what a dollar is."""
    program_id, merchant_id = stack.seed.program_id, seed.new_id("merchant")
    drafts = [
        stored.Draft(seed.new_id("offer"), seed.new_id("link"), _config(merchant_id, number))
        for number in range(OFFERS)
    ]
    async with connected(stack) as db, db.transaction():
        await merchants.add(db, program_id, merchant_id, MerchantConfig(name="A shop"))
        await stored.add(db, program_id, drafts, links.random_slug, allow=())
        await exchange_rates.put(db, program_id, [RATE])
    ring = keyring.parse(Path(stack.settings.keyring_file).read_bytes())
    minter = clickid.Minter(ring.active_click, ring.click[ring.active_click], BOOT)
    own = [draft.link_id for draft in drafts]
    return Shop(program_id, stack.seed.members, own, [], ring, minter)


async def open_network(
    db: Db, shop: Shop, provider: str, config: Mapping[str, Any], credentials: Mapping[str, Any]
) -> str:
    """Store an account at a network, whose postbacks come with TOKEN; its id."""
    network_id = seed.new_id("network")
    new = networks.New(
        provider=provider,
        name="A network",
        config=config,
        rules=Rules(cashback_bp=NETWORK_BP),
        credentials=credentials,
    )
    await networks.add(db, shop.ring, shop.program_id, network_id, new, digest(TOKEN))
    return network_id


async def sell(db: Db, shop: Shop, count: int) -> list[Sale]:
    """Store so many clicks; what their members bought."""
    now_ms = time.time_ns() // 1_000_000 - CLICKED_AGO_MS
    made = [_sale(shop, len(shop.sold) + number, now_ms) for number in range(count)]
    rows = [_click(shop, one) for one in made]
    await db.copy_records_to_table("click", records=rows, columns=CLICK)
    shop.sold.extend(made)
    return made


async def until_at_work(db: Db) -> None:
    """Wait until the workers have started: till then a task about nothing waits."""
    await outbox.add(db, SyncNetwork(seed.new_id("network")))
    await until_synced(db)


async def until_synced(db: Db) -> None:
    """Wait until no sync is under way; TimeoutError."""
    deadline = time.monotonic() + SYNCS_MAX_S
    while await db.fetchval(SYNCS):
        if time.monotonic() > deadline:
            raise TimeoutError("the sync comes to no end")
        await asyncio.sleep(POLL_S)


async def wrong(db: Db, shop: Shop) -> list[str]:
    """What is not as it must be once networks have told of all sales; empty when all is well."""
    problems = await money.check(db)
    told = {row["state"]: row["count"] for row in await db.fetch(STATES, shop.program_id)}
    if told != Counter(one.status for one in shop.sold):
        problems.append(f"of {len(shop.sold)} sales there are {told}")
    rows = await db.fetch(OWED, shop.program_id, list(wallet.LIABILITIES))
    has = {row["member_id"]: row["owed_minor"] for row in rows}
    must = owed(shop.sold)
    return problems + [
        f"{member_id} has {has.get(member_id, 0)}, not {must.get(member_id, 0)}"
        for member_id in has.keys() | must.keys()
        if has.get(member_id, 0) != must.get(member_id, 0)
    ]


def tell(problems: Sequence[str]) -> None:
    """Print some of what is wrong."""
    for one in problems[:10]:
        print(f"  wrong: {one}", flush=True)


def owed(sold: Iterable[Sale]) -> dict[str, int]:
    """What each member must have of these sales, in cents of the program's currency."""
    sums: Counter[str] = Counter()
    fixed: Counter[tuple[str, int]] = Counter()
    for one in sold:
        if one.status == "rejected":
            continue
        cents = CENTS_A_DOLLAR if one.currency == "USD" else 100
        commission = one.commission_minor * cents // 100
        match CASHBACKS[one.offer % len(CASHBACKS)]:
            case OfCommission():
                share = commission * COMMISSION_BP // 10_000
            case OfSale():
                share = min(one.sale_minor * cents // 100 * SALE_BP // 10_000, commission)
            case Fixed():
                fixed[one.member_id, one.offer] += 1
                share = FIXED_MINOR if fixed[one.member_id, one.offer] <= CAP else 0
            case _:
                share = commission * NETWORK_BP // 10_000
        sums[one.member_id] += share
    return dict(sums)


def _config(merchant_id: str, number: int) -> OfferConfig:
    cashback = CASHBACKS[number % len(CASHBACKS)]
    config = OfferConfig(
        merchant_id=merchant_id,
        title=f"Offer {number}",
        kind="deal" if cashback is None else "cashback",
        cashback=cashback,
        member_cap=MemberCap(period="ever", count=CAP) if isinstance(cashback, Fixed) else None,
        destination=f"https://shop.example.com/deals/{number}?subid={{click_id}}",
        state="active",
    )
    return offers.validate(config)


def _sale(shop: Shop, number: int, clicked_ms: int) -> Sale:
    draw = random.Random(number)
    offer = draw.randrange(SOLD)
    link_bits = ids.link_bits(shop.links[offer])
    return Sale(
        txn_id=f"t-{number}",
        click_id=shop.minter.mint(clicked_ms, shop.program_id, link_bits),
        member_id=draw.choice(shop.members),
        offer=offer,
        status=draw.choice(STATUSES),
        # Always more than the fixed cashback.
        commission_minor=draw.randrange(100, 1_000),
        sale_minor=draw.randrange(1_000, 100_000),
        currency=draw.choice(CURRENCIES),
        at_ms=(clicked_ms + BOUGHT_AFTER_MS) // 1000 * 1000,
    )


def _click(shop: Shop, one: Sale) -> tuple[object, ...]:
    at = conversions.moment(clickid.decode(one.click_id).ms)
    link_id = shop.links[one.offer]
    own = (at.date(), one.click_id, shop.program_id, link_id, at, 0)
    return (*own, (), "desktop", "Linux", "Firefox", False, one.member_id)
