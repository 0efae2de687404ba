"""All of Stampgate as its own processes, and everybody outside on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import asyncpg
import msgspec

from core.settings import Settings
from db import money
from tests.acceptance import asking
from tests.acceptance.asking import Caller
from tests.acceptance.partners import AskedNetwork, Bank, Tracker
from tests.chaos import stack
from tests.chaos.stack import Stack
from tests.providers import server as networks
from tests.providers.payouts import server as banks
from tests.sources import ROOT

T = TypeVar("T")

OWNER: Final = "olga@example.com"
PASSWORD: Final = "a fine day for tea"
# In each currency of each transaction.
UNBALANCED: Final = """
SELECT e.transaction_id, a.currency, sum(e.amount_minor)::bigint AS total_minor
  FROM money_entry e JOIN money_account a ON a.id = e.account_id
 GROUP BY e.transaction_id, a.currency HAVING sum(e.amount_minor) <> 0
"""


class Loop:
    """A loop in a thread: servers and callers live there while the main thread starts processes,
    which the kernel ties to the thread that started them.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """What will come of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for what comes of it."""
        return self.begin(work).result()

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Partners:
    """Who is outside, and the session with which they and members call."""

    def __init__(
        self, session: aiohttp.ClientSession, tracker: Tracker, shops: AskedNetwork, bank: Bank
    ) -> None:
        self.session = session
        self.tracker = tracker
        self.shops = shops
        self.bank = bank


@contextlib.asynccontextmanager
async def partners() -> AsyncIterator[Partners]:
    """Two networks and a bank, each on a port of its own."""
    async with (
        aiohttp.ClientSession() as session,
        networks.running(Tracker) as tracker,
        networks.running(AskedNetwork) as shops,
        banks.running(Bank) as bank,
    ):
        yield Partners(session, tracker, shops, bank)


class World:
    """The running stack with one program. `owner` runs it, `offers` are ids by network, and
    `withdrawals` those that were asked for.
    """

    owner: Caller
    program: str

    def __init__(self, running: Stack, loop: Loop, outside: Partners) -> None:
        self.stack = running
        self.loop = loop
        self.session = outside.session
        self.tracker, self.shops, self.bank = outside.tracker, outside.shops, outside.bank
        self.offers: dict[str, str] = {}
        self.withdrawals: list[str] = []

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def anybody(self) -> Caller:
        """Somebody who has not signed in to the program."""
        return Caller(self.session, self.settings.public_gateway_url, program=self.program)

    def command(self, *words: str, typed: str = "") -> str:
        """The last line that a command of the operator prints."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words],
            cwd=self.stack.source,
            env=self.stack.env,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise asking.Surprise(f"stampgate {' '.join(words)}: {done.stderr}")
        return done.stdout.splitlines()[-1]

    def prepare(self) -> None:
        """A program in rupees with an owner, whom the bank pays for."""
        self.program = self.command(
            *("program", "create", "Tea Club", "--currency", "INR"),
            *("--time-zone", "Asia/Kolkata"),
        )
        self.command(
            *("operator", "create", OWNER, "--name", "Olga", "--program", self.program),
            *("--role", "owner", "--password-stdin"),
            typed=f"{PASSWORD}\n",
        )
        self.loop.run(self._open())

    async def _open(self) -> None:
        anybody = self.anybody()
        signed_in = {"email": OWNER, "password": PASSWORD}
        grant = await anybody.post("/v1/auth/operators/login", signed_in)
        self.owner = anybody.as_bearer(grant["access_token"])
        rules = {"withdrawals": {"provider": self.bank.slug}}
        await self.owner.patch(f"/v1/programs/{self.program}", {"settings": rules})
        self.bank.hears = f"{self.settings.public_gateway_url}/webhooks/{self.bank.slug}"

    async def check_books(self) -> Any:
        """The ledger's position; AssertionError unless the sum of each transaction's postings, and
        of all balances, is zero, and each balance is the sum of its entries.
        """
        solvency = await self.owner.get("/v1/admin/solvency")
        assert solvency["is_balanced"], solvency
        for one in solvency["positions"]:
            assert one["is_balanced"], one
            assert one["is_covered"], one
        db = await asyncpg.connect(self.stack.servers.migrate_url)
        try:
            assert await db.fetch(UNBALANCED) == []
            assert await money.check(db) == []
        finally:
            await db.close()
        return solvency

    async def mail(self, to: str, subject: str) -> EmailMessage:
        """The mail to somebody whose subject has these words, as soon as it was sent."""
        folder = Path(self.settings.outbox_dir)

        async def look() -> EmailMessage | None:
            for path in folder.glob("*.eml"):
                found = message_from_bytes(path.read_bytes(), policy=policy.default)
                if to in str(found["To"]) and subject in str(found["Subject"]):
                    return found
            return None

        return await asking.until(look, f"a mail to {to} says {subject!r}")


@contextlib.contextmanager
def running(folder: Path, source: Path = ROOT, **chosen: str) -> Iterator[World]:
    """A world whose program is open; `folder` is for its files, keywords are settings."""
    loop, closing = Loop(), contextlib.AsyncExitStack()
    try:
        outside = loop.run(closing.enter_async_context(partners()))
        sections = {"payouts": {outside.bank.slug: outside.bank.config()}}
        providers = folder / "providers.json"
        providers.touch(mode=0o600)
        providers.write_bytes(msgspec.json.encode(sections))
        own = {"providers_file": str(providers), "outbox_dir": str(folder / "outbox")}
        with stack.running(source, **own, **chosen) as started:
            world = World(started, loop, outside)
            world.prepare()
            yield world
    finally:
        loop.run(closing.aclose())
        loop.stop()
