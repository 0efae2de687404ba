"""What the handlers of one gateway process share: connections, keys, and the clock.

PostgreSQL may be away at start or any time later: awards go on without it, all else answers 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from core import clickid, errors, ids, keyring
from core.providers.payouts.protocol import PayoutProvider
from core.providers.social.flow import SocialProvider
from core.settings import Settings
from core.storage import DOWNLOADS, Storage
from db import clicks, pg, points, redis, sessions
from gateway import providers
from gateway.auth import Caller
from gateway.bearers import Bearers
from gateway.catalogue import Catalogue
from gateway.credentials import Credentials
from gateway.figures import Figures
from gateway.hashing import Hashing
from gateway.measures import Measures, Transaction
from gateway.origins import Origins
from gateway.rates import Rates
from gateway.receiving import Receiving
from gateway.revocations import Revocations
from gateway.rules import Rules
from web import outbound, problem, proxies, routing, server, storage
from web import providers as set_up
from web.keyfile import KeyFile

T = TypeVar("T")

ACQUIRE_TIMEOUT_S: Final = 5.0
ANONYMOUS_BODY_MAX: Final = 16_384
RING_POLL_S: Final = 0.5


class App:
    """The state of the process. Make it with `open`."""

    def __init__(
        self,
        settings: Settings,
        ring: KeyFile,
        social: dict[str, SocialProvider],
        payouts: dict[str, PayoutProvider],
        pool: pg.Pool,
        connection: redis.Connection,
        files: Storage,
    ) -> None:
        self.settings: Final = settings
        self.revocations: Final = Revocations(connection, pool)
        self.verifier: Final = Bearers(ring, self.revocations)
        self.lifetimes: Final = sessions.lifetimes(settings)
        self.hashing: Final = Hashing(settings.gateway_processes, settings.hashing_pending_max)
        self.pool: Final = pool
        self.redis: Final = connection
        self.rates: Final = Rates(connection, ring.current, settings)
        self.credentials: Final = Credentials(self.verifier, self.connection, self.rates.admit_key)
        self.revocations.when_key_changes = self.credentials.forget
        self.storage: Final = files
        # Where links may not lead, and where they may although it is private.
        self.own_hosts: Final = (urlsplit(settings.public_redirector_url).netloc.lower(),)
        allowed = map(str.strip, settings.outbound_allow.split(","))
        self.reachable: Final = tuple(filter(None, allowed))
        self.points: Final = points.Points(connection, settings)
        self.rules: Final = Rules(pool)
        self.catalogue: Final = Catalogue(connection, pool)
        self.figures: Final = Figures(connection, self.points, self.transaction)
        self.origins: Final = Origins(pool, self.rules)
        #: Those that members sign in with, by slug.
        self.providers: Final = social
        #: Those that pay withdrawals, by slug.
        self.payouts: Final = payouts
        #: How those that report on messages are set up, and the keys with which SNS signs.
        self.notifiers: Final = providers.notifications(settings)
        self.sns_keys: Final[dict[str, RSAPublicKey]] = {}
        self.outbound: Final = outbound.Outbound(allow=settings.outbound_allow)
        self.proxies: Final = proxies.Proxies(settings.trusted_networks)
        self.networks_of_admins: Final = settings.networks_of_admins
        self.measures: Final = Measures(connection, self.points)
        #: What networks call with.
        self.receiving: Final = Receiving(self.connection, lambda: self.ring)
        self._ring = ring
        self._looking = asyncio.create_task(self._look_at_ring(), name="key ring")
        self._minter: clickid.Minter | None = None
        self._id_ms = 0
        self._id_entropy = 0

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Read key ring and providers and connect; returns also when the servers are away."""
        ring, social = KeyFile(Path(settings.keyring_file)), providers.social(settings)
        connection = await redis.Connection.open(
            settings.redis_url,
            deadline_s=settings.award_deadline_ms / 1000,
            max_pending=settings.award_pending_max,
            max_pending_bytes=settings.award_pending_bytes_max,
        )
        files = await storage.open(
            settings.storage_place, lambda: ring.current, served_at=DOWNLOADS
        )
        payouts, pool = set_up.payouts(settings), await pg.open_pool(settings)
        self = cls(settings, ring, social, payouts, pool, connection, files)
        self.credentials.start()
        self.catalogue.open()
        await self.revocations.open()
        return self

    async def close(self) -> None:
        """Hang up, after what is under way."""
        await self.rates.close()
        await self.credentials.close()
        await self.catalogue.close()
        await self.figures.close()
        self._looking.cancel()
        self.hashing.close()
        await self.revocations.close()
        await self.outbound.close()
        await self.storage.close()
        await self.redis.close()
        with contextlib.suppress(TimeoutError):
            await self.pool.close()

    @property
    def ring(self) -> keyring.KeyRing:
        """The key ring, as its file is by now."""
        return self._ring.current

    @staticmethod
    def now_ms() -> int:
        """The time, in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def new_id(self, kind: ids.Kind) -> str:
        """A fresh id. Those of one process sort in the order in which they were made, as RFC 9562
        §6.2 has it: within a millisecond the random part counts on.
        """
        now_ms = self.now_ms()
        if now_ms > self._id_ms:
            self._id_ms, self._id_entropy = now_ms, int.from_bytes(os.urandom(ids.ENTROPY_BYTES))
        else:
            self._id_entropy = (self._id_entropy + 1) % (1 << 8 * ids.ENTROPY_BYTES)
        return ids.new(kind, self._id_ms, self._id_entropy.to_bytes(ids.ENTROPY_BYTES))

    async def _look_at_ring(self) -> None:
        while True:
            await asyncio.sleep(RING_POLL_S)
            self.verifier.look()

    @contextlib.asynccontextmanager
    async def connection(self, purpose: Transaction = "read") -> AsyncIterator[pg.Db]:
        """A connection for reading; Unavailable when PostgreSQL is away."""
        started = time.perf_counter()
        try:
            async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
                yield db
        except pg.NOT_NOW as error:
            self.measures.failures[purpose] += 1
            raise errors.Unavailable("PostgreSQL is away; nothing was changed.") from error
        finally:
            self.measures.seconds[purpose].observe(time.perf_counter() - started)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[pg.Db]:
        """A transaction; Unavailable as `connection`, OutcomeUnknown when the commit got no answer.

        Any exception rolls it back.
        """
        async with self.connection("write") as db:
            transaction = db.transaction()
            await transaction.start()
            try:
                yield db
            except BaseException:
                await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except pg.CONNECTION_ERRORS as error:
                raise errors.OutcomeUnknown from error

    async def mint(self, program_id: str, link_id: str) -> str:
        """A click id of this process; Unavailable when it cannot get its boot number."""
        if self._minter is None:
            boot = await clicks.new_boot(self.redis)
            key_id = self.ring.active_click
            self._minter = clickid.Minter(key_id, self.ring.click[key_id], boot)
        return self._minter.mint(self.now_ms(), program_id, ids.link_bits(link_id))


Call: TypeAlias = routing.Call[App, Caller]


async def read(call: Call) -> bytes:
    """The request's body, or BodyTooLarge; who has no credential may say little."""
    route, largest = call.route, call.app.settings.body_limit_bytes
    usual = largest if route.scope is not None else min(largest, ANONYMOUS_BODY_MAX)
    return await server.read_body(call.request, route.body_limit or usual)


async def read_as(call: Call, decoder: msgspec.json.Decoder[T]) -> T:
    """The request's body, decoded; raises as `web.problem.decode`."""
    return problem.decode(decoder, await read(call))
