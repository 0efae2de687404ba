"""Calls of networks on their way into PostgreSQL: what came while one statement was on its way is
stored by the next one, so that many a second cost a few statements.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, NamedTuple

from core import errors, ids
from core.keyring import KeyRing
from core.providers.affiliate.protocol import AffiliateNetwork
from db import networks, pg, postbacks
from db.networks import Network
from db.postbacks import New

log: Final = logging.getLogger(__name__)

BATCH: Final = 500
PENDING_MAX: Final = 5_000
#: How long a changed network, or a new token, may go unnoticed.
FRESH_S: Final = 2.0
KNOWN_MAX: Final = 10_000
#: Refused calls that one process stores for a network, in a minute.
REFUSED_MAX: Final = 60

Connect = Callable[[Literal["read", "write"]], AbstractAsyncContextManager[pg.Db]]


class Account(NamedTuple):
    """A network, and who reads its postbacks: nobody while its settings are not good."""

    network: Network
    provider: AffiliateNetwork | None


class Receiving:
    """Stores calls, and knows the networks that they are for."""

    def __init__(self, connect: Connect, ring: Callable[[], KeyRing]) -> None:
        self._connect = connect
        self._ring = ring
        self._waiting: list[tuple[New, asyncio.Future[None]]] = []
        self._storing: asyncio.Task[None] | None = None
        self._known: dict[str, tuple[float, Account | None]] = {}
        self._minute = 0
        self._refused: Counter[str] = Counter()

    async def account(self, network_id: str) -> Account | None:
        """The network of this id, as it was a moment ago; None if there is none. Unavailable."""
        if not ids.is_id(network_id, "network"):
            return None
        now = time.monotonic()
        found = self._known.get(network_id)
        if found is None or now - found[0] > FRESH_S:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            found = self._known[network_id] = now, await self._read(network_id)
        return found[1]

    async def store(self, call: New) -> None:
        """Return once the call is stored; OverCapacity, Unavailable."""
        if len(self._waiting) >= PENDING_MAX:
            raise errors.OverCapacity
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, stored))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all(), name="postbacks")
        await stored

    def may_store_refused(self, network_id: str) -> bool:
        """Whether one more refused call is worth its row: somebody may send any number."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._refused.clear()
        self._refused[network_id] += 1
        return self._refused[network_id] <= REFUSED_MAX

    async def _read(self, network_id: str) -> Account | None:
        async with self._connect("read") as db:
            program_id = await networks.find_program(db, network_id)
            if program_id is None:
                return None
            network = await networks.get(db, program_id, network_id)
        try:
            return Account(network, networks.made(self._ring(), network))
        except (errors.BadSetting, errors.BadField):
            # Its calls are stored all the same: networks do not go on sending them for long.
            log.exception("calls of %s cannot be read", network_id)
            return Account(network, None)

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._store_batch(batch)
        finally:
            self._storing = None

    async def _store_batch(self, batch: list[tuple[New, asyncio.Future[None]]]) -> None:
        failure: Exception | None = None
        try:
            async with self._connect("write") as db:
                await postbacks.add(db, [call for call, _ in batch])
        except Exception as error:  # noqa: BLE001 - each of the callers answers it
            failure = error
        for _, stored in batch:
            if stored.done():
                continue
            if failure is None:
                stored.set_result(None)
            else:
                stored.set_exception(failure)
