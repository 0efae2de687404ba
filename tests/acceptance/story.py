"""What happens to one member, from signing up to the bank's reference and beyond.

Flow 1: a click, a purchase, cashback. Flow 2: a withdrawal. The test, `make demo` and the battery
of kills tell the same story, step by step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, NamedTuple

from core.money import Money, text
from tests.acceptance import asking
from tests.acceptance.asking import Caller, Surprise
from tests.acceptance.partners import SHOP, Shops
from tests.acceptance.world import PASSWORD, World
from tests.chaos.load import BROWSER
from tests.providers.affiliate.server import Transaction

RUPEES: Final = 100
CODE: Final = re.compile(r"\b\d{6}\b")
PAN: Final = {"kind": "pan", "number": "ABCPE1234F", "name": "Asha Verma"}
CAMPAIGN: Final = "1e8d114494fa"
CREDITED: Final = "cashback credited!"


class Wallet(NamedTuple):
    """A member's money, in minor units."""

    available: int = 0
    pending: int = 0
    held: int = 0


class Step(NamedTuple):
    """A step that was taken, and what it came to."""

    name: str
    said: str


async def open_shop(world: World) -> str:
    """The owner sets up the catalogue: networks, category, merchant, offers."""
    owner, gateway = world.owner, world.settings.public_gateway_url
    category = await owner.post("/v1/categories", {"slug": "tea", "name": "Tea"})
    filed = {"category_ids": [category["id"]]}
    merchant = await owner.post(
        "/v1/merchants", {"name": "Tea Shop", "hosts": ["tea.example"], **filed}
    )
    for network in (world.tracker, world.shops):
        account = {"name": network.slug, "config": network.config()}
        secrets = {"credentials": network.credentials(), "rules": {"cashback_bp": 5_000}}
        made = await owner.post("/v1/networks", {"provider": network.slug, **account, **secrets})
        network.hears = f"{gateway}/postback/{made['id']}/{made['postback_token']}"
        offer = {
            "merchant_id": merchant["id"],
            "title": f"Tea through {network.slug}",
            "kind": "cashback",
            "cashback": {"basis": "commission", "rate_bp": 5_000},
            "destination": SHOP,
            "network_id": made["id"],
            "network_campaign": CAMPAIGN,
            "state": "active",
        }
        world.offers[network.slug] = (await owner.post("/v1/offers", {**offer, **filed}))["id"]
    return "2 networks, a category, a merchant, 2 offers that give half of the commission"


class Story:
    """One member's. The number tells the stories of a world apart."""

    member: Caller
    member_id: str
    method: str
    first: Transaction
    second: Transaction
    withdrawal: str
    utr: str

    def __init__(self, world: World, number: int = 1) -> None:
        self.world = world
        self.number = number
        self.mail = f"asha{number}@example.com"
        self.clicks: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        """Take the steps one after the other; Surprise, TimeoutError."""
        for name, act in ACTS.items():
            yield Step(name, self.world.loop.run(act(self)))

    async def sign_up(self) -> str:
        """A code by mail makes a member."""
        anybody = self.world.anybody()
        asha = {"email": self.mail, "password": PASSWORD, "name": "Asha"}
        asked = await anybody.post("/v1/auth/register", asha)
        sent = await self.world.mail(self.mail, "")
        code = CODE.search(sent.get_content())
        assert code is not None, sent
        proof = {"registration_token": asked["registration_token"], "code": code[0]}
        grant = await anybody.post("/v1/auth/register/confirm", proof)
        self.member = anybody.as_bearer(grant["access_token"])
        self.member_id = (await self.member.get("/v1/me"))["id"]
        return f"Asha signs up with the code that was mailed to {self.mail}"

    async def click(self) -> str:
        """The first offer."""
        return await self._click(self.world.tracker)

    async def buy(self) -> str:
        """The network reports the purchase; who cannot sign reports nothing."""
        tracker = self.world.tracker
        bought = tracker.buy(self.clicks[tracker.slug], f"t{self.number}", "160.00")
        forged = await tracker.call(f"{tracker.unsigned(bought)}&sig={'0' * 64}")
        if forged.status != 403:
            raise Surprise(f"a forged postback was answered {forged.status}")
        self.first = bought
        await self._report(tracker, bought)
        await self.reach(Wallet(pending=80 * RUPEES))
        return "she buys tea; the network's signed postback says pending, a forged one is refused"

    async def approve_signed(self) -> str:
        """The network approves, in a postback that it signs."""
        tracker = self.world.tracker
        self.first = tracker.decide(self.first, "approved")
        await self._report(tracker, self.first)
        return await self._credited(80 * RUPEES, 80 * RUPEES, "another signed postback approves it")

    async def click_again(self) -> str:
        """The second offer, of the network that is asked."""
        return await self._click(self.world.shops)

    async def buy_again(self) -> str:
        """The other network reports a purchase."""
        shops = self.world.shops
        self.second = shops.buy(self.clicks[shops.slug], f"{7_000 + self.number}", "100.00")
        await self._report(shops, self.second)
        await self.reach(Wallet(available=80 * RUPEES, pending=50 * RUPEES))
        return "she buys again; the network's postback says pending"

    async def approve_when_asked(self) -> str:
        """The network is asked, and says that it is approved."""
        self.second = self.world.shops.decide(self.second, "approved")
        await self._sync()
        return await self._credited(50 * RUPEES, 130 * RUPEES, "the network is asked, and approves")

    async def prove_identity(self) -> str:
        """A verified document, and where to pay."""
        method = {"kind": "upi", "vpa": f"asha{self.number}@okbank", "name": "Asha Verma"}
        self.method = (await self.member.post("/v1/payout-methods", method))["id"]
        early = await self._ask_for(100 * RUPEES)
        if early.status != 409 or early.body["code"] != "kyc_not_verified":
            raise Surprise(f"without a document: {early}")
        handed_in = await self.member.put("/v1/kyc", PAN)
        path = f"/v1/members/{self.member_id}/kyc/verify"
        done = await self.world.owner.call("POST", path, {"version": handed_in["version"]})
        # Whoever died after it was done did not say so.
        if done.status != 200 and (await self.member.get("/v1/kyc"))["state"] != "verified":
            raise Surprise(f"the verification: {done}")
        return "she names her UPI address and her PAN, and the owner verifies it"

    async def withdraw(self) -> str:
        """The wish; the money is held."""
        asked = await self._ask_for(100 * RUPEES)
        if asked.status != 201:
            raise Surprise(f"the withdrawal: {asked}")
        self.withdrawal = asked.body["id"]
        self.world.withdrawals.append(self.withdrawal)
        await self.reach(Wallet(available=30 * RUPEES, held=100 * RUPEES))
        return "she asks for ₹100.00, which are held"

    async def let_pay(self) -> str:
        """The owner approves, and the bank takes the payout."""
        done = await self.world.owner.call("POST", f"{self._path}/approve", {})
        # Whoever died after it was done did not say so.
        if done.status != 200 and done.body.get("code") != "withdrawal_not_open":
            raise Surprise(f"the approval: {done}")
        await asking.until(self._promised, "the bank was asked to pay")
        return "the owner approves; the bank is told to pay, and takes it"

    async def hear_of_bank(self) -> str:
        """The bank's signed call brings its reference."""
        await self.world.bank.settle(self.withdrawal, "paid")
        paid = await asking.until(self._paid, "the withdrawal is paid")
        self.utr = paid["utr"]
        await self.reach(Wallet(available=30 * RUPEES))
        await self.world.mail(self.mail, f"Withdrawal processed! UTR: {self.utr}")
        return f"the bank's signed call says paid, UTR {self.utr}; she gets a mail"

    async def take_back(self) -> str:
        """The network reverses what was paid out."""
        self.second = self.world.shops.decide(self.second, "rejected")
        await self._sync()
        await self.reach(Wallet(available=-20 * RUPEES))
        return "she returned the second tea; the network is asked, and takes ₹50.00 back"

    async def be_refused(self) -> str:
        """Nothing is paid to who owes."""
        refused = await self._ask_for(100 * RUPEES)
        if refused.status != 409 or refused.body["code"] != "balance_negative":
            raise Surprise(f"while something is owed: {refused}")
        return "another withdrawal is refused: balance_negative"

    async def trace(self) -> str:
        """One answer from the redirect to the bank's reference."""
        found = await self.found()
        [conversion], [payment] = found["conversions"], found["withdrawals"]
        seen = (found["click"]["member_id"], conversion["state"], payment["utr"])
        if seen != (self.member_id, "reversed", self.utr):
            raise Surprise(f"the trace: {found}")
        return f"/v1/trace shows click, {len(found['postings'])} postings and the UTR in one answer"

    async def wallet(self) -> Wallet:
        """What the member has now."""
        if not hasattr(self, "member"):
            return Wallet()
        [purse] = (await self.member.get("/v1/wallet"))["balances"]
        return Wallet(purse["available_minor"], purse["pending_minor"], purse["held_minor"])

    async def reach(self, wanted: Wallet) -> None:
        """Wait until the member has this; TimeoutError."""

        async def look() -> bool | None:
            return await self.wallet() == wanted or None

        await asking.until(look, f"{self.mail} has {wanted}")

    async def found(self) -> Any:
        """What belongs to the second click."""
        return await self.world.owner.get(f"/v1/trace/{self.clicks[self.world.shops.slug]}")

    @property
    def _path(self) -> str:
        return f"/v1/withdrawals/{self.withdrawal}"

    async def _click(self, network: Shops) -> str:
        """Ask for the click, follow it over the network to the shop; it is stored then."""
        offer = self.world.offers[network.slug]
        made = await self.member.post(f"/v1/offers/{offer}/click", {})
        click = self.clicks[network.slug] = made["click_id"]
        hop = await self._follow(made["redirect_url"])
        page = await self._follow(network.resolved(hop))
        if page != SHOP or network.clicks[-1] != click:
            raise Surprise(f"click {click} led to {page}, the network saw {network.clicks[-1:]}")

        async def stored() -> bool | None:
            found = await self.world.owner.get(f"/v1/clicks/{click}")
            return found["state"] == "stored" or None

        await asking.until(stored, "the click is in PostgreSQL")
        return f"she follows an offer over {network.slug} to the shop, click {click[:8]}…"

    async def _follow(self, url: str) -> str:
        """Where a browser is sent from there."""
        hop = await asking.ask(self.world.session, "GET", url, BROWSER)
        if hop.status != 302:
            raise Surprise(f"{url}: {hop}")
        return str(hop.headers["Location"])

    async def _report(self, network: Shops, one: Transaction) -> None:
        heard = await network.tell(one)
        if heard.status != 200:
            raise Surprise(f"a postback of {network.slug}: {heard}")

    async def _sync(self) -> None:
        """Have the network asked what happened."""
        offer = await self.world.owner.get(f"/v1/offers/{self.world.offers['admitad']}")
        await self.world.owner.post(f"/v1/networks/{offer['network_id']}/sync", {})

    async def _credited(self, amount: int, available: int, why: str) -> str:
        await self.reach(Wallet(available=available))
        subject = f"{text(Money(amount, 'INR'))} {CREDITED}"
        await self.world.mail(self.mail, subject)
        return f"{why}; a mail says “{subject}”"

    async def _ask_for(self, amount: int) -> asking.Reply:
        wanted = {"amount_minor": amount, "payout_method": self.method}
        return await self.member.call("POST", "/v1/withdrawals", wanted)

    async def _promised(self) -> bool | None:
        return self.withdrawal in self.world.bank.kept or None

    async def _paid(self) -> Any:
        seen = await self.member.get(self._path)
        return seen if seen["state"] == "paid" else None


#: All steps by name, in their order.
ACTS: Final[dict[str, Callable[[Story], Coroutine[Any, Any, str]]]] = {
    act.__name__: act
    for act in (
        *(Story.sign_up, Story.click, Story.buy, Story.approve_signed),
        *(Story.click_again, Story.buy_again, Story.approve_when_asked),
        *(Story.prove_identity, Story.withdraw, Story.let_pay, Story.hear_of_bank),
        *(Story.take_back, Story.be_refused, Story.trace),
    )
}
