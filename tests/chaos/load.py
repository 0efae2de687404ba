"""Clients that click and award while things break, and the history that they write.

The history is the oracle: what it says was answered must be stored once, what was refused never,
and what got no answer once or not at all.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.chaos.stack import Stack, until
from tests.chaos.wire import NoAnswer, Reply, Wire

SLUGS = ("partner", "home", "demo")
CLICK_ID = re.compile(r"(?<![0-9a-z])[0-9a-hjkmnp-tv-z]{32}(?![0-9a-z])")
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html",
    "Accept-Language": "en",
}
REFERRER = "https://from.example/"
CLICKERS = 6
AWARDERS = 6
PAUSE_S = 0.02
# How long a client asks again for an answer that it can rely on.
PATIENCE_S = 30.0


@dataclasses.dataclass
class Click:
    """One GET: its answer's status, None when none came; the click id if the Location has one."""

    slug: str
    status: int | None = None
    click_id: str | None = None


@dataclasses.dataclass
class Deed:
    """One thing asked of the gateway under one key, and every definite answer to it."""

    kind: str
    path: str
    key: str
    body: dict[str, Any]
    member: str
    amount: int
    replies: list[Reply] = dataclasses.field(default_factory=list)

    @property
    def success(self) -> Reply | None:
        """The first answer that says it was done."""
        return next((reply for reply in self.replies if reply.status < 300), None)

    @property
    def document(self) -> dict[str, Any]:
        """What that answer says."""
        assert self.success is not None
        found: dict[str, Any] = json.loads(self.success.body)
        return found


async def post(
    stack: Stack, wire: Wire, deed: Deed, body: dict[str, Any], query: str = ""
) -> Reply:
    """Ask for a deed once; raises NoAnswer. With a query it does not take the fast lane."""
    headers = {
        "Authorization": f"Bearer {stack.seeded.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": deed.key,
    }
    packed = json.dumps(body).encode() if body else b""
    return await wire.ask("POST", deed.path + query, headers, packed)


class History:
    """What the clients did. `surprises` are answers that must never be given."""

    def __init__(self) -> None:
        self.clicks: dict[str, Click] = {}
        self.deeds: dict[str, Deed] = {}
        self.surprises: list[str] = []

    @property
    def redirects(self) -> int:
        """Clicks that were answered with a redirect so far."""
        return sum(click.status == 302 for click in list(self.clicks.values()))

    @property
    def done(self) -> int:
        """Deeds that were answered as done so far."""
        return sum(deed.success is not None for deed in list(self.deeds.values()))

    def counts(self) -> dict[str, int]:
        """Numbers to show beside a result."""
        open_deeds = sum(not deed.replies for deed in self.deeds.values())
        return {
            "clicks": self.redirects,
            "clicks unknown": len(self.clicks) - self.redirects,
            "deeds": self.done,
            "deeds unknown": open_deeds,
        }


class Load:
    """The clients, in a thread with a loop of its own."""

    def __init__(
        self,
        stack: Stack,
        seed: int,
        history: History,
        *,
        clickers: int,
        awarders: int,
        is_plain: bool,
    ) -> None:
        self._stack = stack
        self._rng = random.Random(seed)
        self._numbers = itertools.count()
        self._nonce = f"s{seed}x{random.getrandbits(32):08x}"
        self._clickers, self._awarders = clickers, awarders
        self._is_plain = is_plain
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._awards: list[Deed] = []
        self._holds: list[Deed] = []
        self.history = history
        members = stack.seeded.members
        self._members = members
        self._weights = [1 / (place + 1) for place in range(len(members))]

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new, and wait until each deed has its answer or patience ends."""
        self._is_over = True
        self._thread.join(PATIENCE_S + 10)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._clickers):
                group.create_task(self._click())
            for _ in range(self._awarders):
                group.create_task(self._award())

    def _next(self) -> str:
        return f"{self._nonce}n{next(self._numbers)}"

    async def _click(self) -> None:
        wire = Wire(self._stack.settings.redirector_port)
        while not self._is_over:
            nonce, slug = self._next(), self._rng.choice(SLUGS)
            click = self.history.clicks[nonce] = Click(slug)
            target, headers = f"/r/{slug}?sub1={nonce}", BROWSER
            if self._rng.random() < 0.5:
                # Without a query it takes the fast lane.
                target, headers = f"/r/{slug}", {**BROWSER, "Referer": f"{REFERRER}{nonce}"}
            try:
                reply = await wire.ask("GET", target, headers)
            except NoAnswer:
                await asyncio.sleep(PAUSE_S)
                continue
            click.status = reply.status
            found = CLICK_ID.search(reply.headers.get("location", ""))
            click.click_id = found and found[0]
            if reply.status not in {302, 503}:
                self.history.surprises.append(f"click answered {reply.status}: {reply.body!r}")
            await asyncio.sleep(self._rng.uniform(0, PAUSE_S))
        await wire.close()

    async def _award(self) -> None:
        wires = [Wire(self._stack.settings.gateway_port) for _ in range(2)]
        while not self._is_over:
            deed = self._choose()
            self.history.deeds[deed.key] = deed
            chance = 1.0 if self._is_plain else self._rng.random()
            if chance < 0.05:
                await asyncio.gather(*(self._do(wire, deed) for wire in wires))
            else:
                await self._do(wires[0], deed)
            if deed.success is not None:
                await self._follow(wires[1], deed, chance)
            await asyncio.sleep(self._rng.uniform(0, PAUSE_S))
        for wire in wires:
            await wire.close()

    async def _follow(self, wire: Wire, deed: Deed, chance: float) -> None:
        """Some deeds are sent again, some keys with another body; some are built upon later."""
        if 0.05 <= chance < 0.10:
            await self._do(wire, deed)
        elif 0.10 <= chance < 0.12 and deed.kind == "award":
            other = {**deed.body, "amount": deed.amount + 1}
            reply = await self._ask(wire, deed, other)
            if reply is not None and reply.status != 422:
                text = f"a key with another body was answered {reply.status}: {reply.body!r}"
                self.history.surprises.append(text)
        if deed.kind == "award" and self._rng.random() < 0.2:
            self._awards.append(deed)
        elif deed.kind == "hold":
            self._holds.append(deed)

    def _choose(self) -> Deed:
        chance, key, amount = self._rng.random(), self._next(), self._rng.randint(1, 50)
        if self._is_plain:
            chance = 1.0
        if chance < 0.05 and self._holds:
            hold = self._holds.pop(self._rng.randrange(len(self._holds)))
            kind = self._rng.choice(("capture", "release"))
            path = f"/v1/holds/{hold.document['id']}/{kind}"
            return Deed(kind, path, key, {}, hold.member, hold.amount)
        if chance < 0.10 and self._awards:
            award = self._awards.pop(self._rng.randrange(len(self._awards)))
            path = f"/v1/awards/{award.document['id']}/reverse"
            return Deed("reversal", path, key, {}, award.member, award.amount)
        kind = "hold" if chance < 0.15 else "spend" if chance < 0.20 else "award"
        (member,) = self._rng.choices(self._members, self._weights)
        body = {"member": member, "kind": self._rng.choice(("points", "stamps")), "amount": amount}
        return Deed(kind, f"/v1/{kind}s", key, body, member, amount)

    async def _do(self, wire: Wire, deed: Deed) -> None:
        reply = await self._ask(wire, deed, deed.body)
        if reply is not None:
            deed.replies.append(reply)

    async def _ask(self, wire: Wire, deed: Deed, body: dict[str, Any]) -> Reply | None:
        """Ask until the answer is definite; None when patience ends first."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while asyncio.get_running_loop().time() < deadline:
            try:
                query = self._rng.choice(("", "?slowly"))
                reply = await post(self._stack, wire, deed, body, query)
            except NoAnswer:
                reply = None
            if reply is not None and reply.status < 500:
                return reply
            if reply is not None and reply.status != 503:
                self.history.surprises.append(f"{deed.path}: {reply.status} {reply.body!r}")
            await asyncio.sleep(PAUSE_S * 2)
        return None


@contextmanager
def loaded(
    stack: Stack,
    seed: int,
    history: History | None = None,
    *,
    clickers: int = CLICKERS,
    awarders: int = AWARDERS,
    is_plain: bool = False,
) -> Iterator[History]:
    """Load while the context lasts; the history, which may go on from another, is complete then.

    Plain load awards, each once, and does nothing that looks back at an earlier event.
    """
    history = history or History()
    load = Load(stack, seed, history, clickers=clickers, awarders=awarders, is_plain=is_plain)
    load.start()
    try:
        yield history
    finally:
        load.stop()


def answered(history: History, more: int) -> None:
    """Wait for so many more answers of the redirector."""
    goal = history.redirects + more
    until(lambda: history.redirects >= goal, 20, f"{more} more clicks are answered")
