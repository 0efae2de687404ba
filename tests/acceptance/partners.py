"""Who is outside: two affiliate networks with their shops, and a bank, each on a socket of its own.

They speak the protocols of the generic network, of Admitad and of RazorpayX, check what the real
ones check, sign what the real ones sign, and call until they are heard.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp import web

from core.providers.affiliate.report import Status
from tests.acceptance import asking
from tests.acceptance.asking import Reply
from tests.providers.affiliate.admitad import Admitad
from tests.providers.affiliate.generic import Generic
from tests.providers.affiliate.server import Network, Transaction
from tests.providers.payouts.razorpayx import RazorpayX
from tests.providers.payouts.server import Kept

KEY: Final = "X-Payout-Idempotency"
SHOP: Final = "https://tea.example/green?size=100"


class Shops(Network):
    """A network whose links lead over it to a shop. `clicks` are the ids that came with visitors;
    postbacks go to `hears`.
    """

    #: How its links begin, and their parameters: the click id, and the page of the shop.
    public: ClassVar[str]
    names: ClassVar[tuple[str, str]]

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.clicks: list[str] = []
        self.hears = ""

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.get("/go/{campaign}/", self.go)]

    def resolved(self, link: str) -> str:
        """Where this machine finds a link of the network's."""
        if not link.startswith(self.public):
            raise asking.Surprise(f"{link} is no link of {self.slug}")
        return link.replace(self.public, f"{self.url}/go")

    async def go(self, request: web.Request) -> web.Response:
        """Note whose visitor it is, and send it on."""
        click, page = (request.query[name] for name in self.names)
        self.clicks.append(click)
        return web.Response(status=302, headers={"Location": page})

    def query(self, one: Transaction) -> str:
        """The postback that tells of a transaction."""
        raise NotImplementedError

    def buy(self, click_id: str, number: str, commission: str) -> Transaction:
        """Somebody who came with this click buys something."""
        # Networks tell whole seconds: not the one that the click is in, or it came before it.
        now_ms = (int(time.time()) + 1) * 1000
        bought = Transaction(
            id=number,
            click_id=click_id,
            order_id=f"order-{number}",
            commission=commission,
            sale=f"{10 * int(commission.partition('.')[0])}.00",
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self.transactions.append(bought)
        return bought

    def decide(self, one: Transaction, status: Status) -> Transaction:
        """The shop approves it, or takes it back."""
        now_ms = int(time.time()) * 1000
        changed = msgspec.structs.replace(one, status=status, updated_ms=now_ms)
        self.transactions[self.transactions.index(one)] = changed
        return changed

    async def tell(self, one: Transaction) -> Reply:
        """Call until it is heard."""
        return await self.call(self.query(one))

    async def call(self, query: str) -> Reply:
        async with aiohttp.ClientSession() as session:
            return await asking.ask(session, "GET", f"{self.hears}?{query}")


class Tracker(Shops, Generic):
    """A network that signs its postbacks, and cannot be asked."""

    public = "https://track.example/go"
    names = ("s", "to")

    def config(self) -> dict[str, Any]:
        return {
            "link": f"{self.public}/{{campaign}}/?s={{click_id}}&to={{destination}}",
            "currency": "INR",
            "signature": {"place": "query", "name": "sig"},
        }

    def query(self, one: Transaction) -> str:
        said = self.unsigned(one)
        code = hmac.new(self.key.encode(), said.encode(), hashlib.sha256).hexdigest()
        return f"{said}&sig={code}"

    def unsigned(self, one: Transaction) -> str:
        """The same from somebody who does not have the key."""
        said = {
            "click_id": one.click_id,
            "txid": one.id,
            "status": one.status,
            "payout": one.commission,
            "amount": one.sale,
            "currency": one.currency,
            "time": one.created_ms // 1000,
        }
        return urlencode(said)


class AskedNetwork(Shops, Admitad):
    """A network whose postbacks anybody could write, and which is asked before money is given."""

    public = "https://ad.admitad.com/g"
    names = ("subid4", "ulp")

    def query(self, one: Transaction) -> str:
        said = {
            "admitad_id": one.id,
            "subid4": one.click_id,
            "payment_status": one.status,
            "payment_sum": one.commission,
            "order_sum": one.sale,
            "currency": one.currency,
            "order_id": one.order_id,
            "time": one.created_ms // 1000,
        }
        return urlencode(said)


class Asked(NamedTuple):
    """One request to pay: the idempotency key in its header, our id in its body, and the body."""

    key: str
    id: str
    body: bytes


class Bank(RazorpayX):
    """RazorpayX with a log of all that it was asked to pay."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.log: list[Asked] = []

    async def take(self, request: web.Request) -> dict[str, Any]:
        body = await request.read()
        our_id = str(msgspec.json.decode(body)["reference_id"])
        self.log.append(Asked(request.headers.get(KEY, ""), our_id, body))
        return await super().take(request)

    async def tell(self, one: Kept) -> None:
        self.calls += 1
        headers, body = self.call(one, self.calls)
        async with aiohttp.ClientSession() as session:
            reply = await asking.ask(session, "POST", self.hears, headers, body)
        if reply.status != 200:
            raise asking.Surprise(f"{self.hears}: {reply.status} {reply.body!r}")

    def problems(self, paid: Sequence[str]) -> list[str]:
        """What is wrong with its log when these ids of ours were to be paid: each is paid once, and
        asked for with one key and one body, however often.
        """
        effects = Counter(self.effects)
        due = Counter(dict.fromkeys(paid, 1))
        found = [
            f"{one}: {effects[one]} effects, not {due[one]}"
            for one in sorted({*due, *effects})
            if effects[one] != due[one]
        ]
        for one in sorted({asked.id for asked in self.log}):
            requests = {asked for asked in self.log if asked.id == one}
            if len(requests) > 1 or {asked.key for asked in requests} != {one}:
                found.append(f"{one}: asked for with {sorted(asked.key for asked in requests)}")
        return found
