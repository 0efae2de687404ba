"""What callers show: bearer tokens, which prove themselves, and API keys, which are looked up.

A key that was looked up stays in memory. What changes about it is announced to every process as a
revocation is (`gateway.revocations`), which then forgets it; besides, the keys in use come back
anew with each `flush` of their use. PostgreSQL away: what is in memory stays good until its expiry.

A look into PostgreSQL is limited by address, because making up keys costs nothing. Prefixes that no
key has are remembered apart, so that they push no key out.

Uses are counted in memory and written every few seconds: a process that is killed forgets what
it counted since, and after an outage of PostgreSQL some may be counted twice.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol, TypeVar

from multidict import MultiMapping, istr

from core import apikeys, errors
from core.tokens import Principal
from db import api_keys
from db.pg import Db

T = TypeVar("T")

log = logging.getLogger(__name__)

AUTHORIZATION: Final = istr("Authorization")
API_KEY: Final = istr("X-API-Key")

FLUSH_S: Final = 5.0
# A key that was not used for so long is read anew.
FRESH_S: Final = 60.0
# So long a text that no key has is refused without a look.
ABSENT_S: Final = 10.0
KEYS_MAX: Final = 4_096
READINGS_MAX: Final = 64
READING_TRIES: Final = 3
# A key without an expiry, in seconds since the epoch.
NEVER_S: Final = 1 << 40

Connect = Callable[[], AbstractAsyncContextManager[Db]]
#: Admits a look into PostgreSQL from an address; RateLimited.
Admit = Callable[[str], Awaitable[object]]


class Verifier(Protocol):
    """Says whose a token is."""

    def verify(self, token: str, now_s: int) -> Principal: ...


class _Entry(NamedTuple):
    """A key in memory, and when PostgreSQL said so."""

    key: api_keys.Known
    principal: Principal
    read_at: float


class Credentials:
    """The credentials that this process has met."""

    def __init__(self, verifier: Verifier, connect: Connect, admit: Admit) -> None:
        self._verifier: Final = verifier
        self._connect: Final = connect
        self._admit: Final = admit
        self._entries: dict[str, _Entry] = {}
        #: Prefixes that no key has, and when PostgreSQL said so.
        self._absent: dict[str, float] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._readings: dict[str, asyncio.Task[None]] = {}
        self._uses: dict[str, api_keys.Use] = {}
        # A key costs a digest, and the same ones come again and again.
        self._taken_apart = functools.lru_cache(KEYS_MAX)(apikeys.parse)
        self._changes = 0
        self._flushing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write the uses from time to time, until `close`."""
        self._flushing = asyncio.create_task(self._flush_forever(), name="uses of API keys")

    async def close(self) -> None:
        """Write what was counted, if it can be written now."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])
        await self.flush()

    def known(self, headers: MultiMapping[str], now_s: int) -> Principal | None:
        """Whose credential it is; None when PostgreSQL must be asked, with `find`.

        Raises Unauthorized and what is below it.
        """
        return self.whose(credential(headers), now_s)

    def whose(self, text: str, now_s: int) -> Principal | None:
        """`known` of the credential itself."""
        if not text.startswith(apikeys.MARK):
            return self._verifier.verify(text, now_s)
        parts = self._taken_apart(text)
        entry = self._entries.get(parts.prefix)
        if entry is None:
            if self._is_absent(parts.prefix):
                raise errors.ApiKeyInvalid
            return None
        if time.monotonic() - entry.read_at > FRESH_S:
            return None
        _check(entry.key, parts, now_s)
        return entry.principal

    async def find(self, headers: MultiMapping[str], now_s: int, address: str) -> Principal:
        """Whose credential it is; as `known`, Unavailable when PostgreSQL is away, and RateLimited
        when too many keys come from the address that are not in memory.
        """
        for _ in range(READING_TRIES):
            principal = self.known(headers, now_s)
            if principal is not None:
                return principal
            prefix = apikeys.parse(credential(headers)).prefix
            await asyncio.shield(self._ask(prefix, address))
        raise errors.Unavailable("The API key is being changed; nothing was changed by you.")

    def note(self, principal: Principal, now_ms: int) -> None:
        """Count a use of a key; of a token nothing is counted."""
        if principal.key_id:
            before = self._uses.get(principal.key_id)
            count = 1 if before is None else before.requests + 1
            self._uses[principal.key_id] = api_keys.Use(count, now_ms)

    def forget(self, key_id: str) -> None:
        """Ask PostgreSQL for this key when it is used again; also for one that is being read."""
        self._changes += 1
        for prefix, entry in list(self._entries.items()):
            if entry.key.id == key_id:
                del self._entries[prefix]

    async def flush(self) -> None:
        """Write the uses and bring the keys up to date; both stay as they are while it fails."""
        if not self._uses:
            return
        uses, self._uses = self._uses, {}
        changes = self._changes
        try:
            async with self._connect() as db:
                found = await api_keys.count_use(db, uses)
        except errors.StampgateError as error:
            log.warning("the use of API keys could not be written: %s", error.code)
            self._restore(uses)
            return
        if changes == self._changes:
            for key in found:
                self._keep(key)

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except Exception:
                log.exception("the use of API keys could not be written")

    def _restore(self, uses: dict[str, api_keys.Use]) -> None:
        """Take back what could not be written; what PostgreSQL said last stays good."""
        now = time.monotonic()
        for key_id, use in uses.items():
            later = self._uses.get(key_id, api_keys.Use(0, use.last_ms))
            self._uses[key_id] = api_keys.Use(use.requests + later.requests, later.last_ms)
        for prefix, entry in self._entries.items():
            if entry.key.id in uses:
                self._entries[prefix] = entry._replace(read_at=now)

    def _is_absent(self, prefix: str) -> bool:
        said_at = self._absent.get(prefix)
        return said_at is not None and time.monotonic() - said_at <= ABSENT_S

    def _ask(self, prefix: str, address: str) -> asyncio.Task[None]:
        """Many who come at once from one address with one key are one question."""
        asked = prefix, address
        asking = self._asking.get(asked)
        if asking is None:
            asking = self._asking[asked] = asyncio.create_task(self._admitted(prefix, address))
            asking.add_done_callback(lambda _: self._asking.pop(asked))
        return asking

    async def _admitted(self, prefix: str, address: str) -> None:
        await self._admit(address)
        await asyncio.shield(self._read(prefix))

    def _read(self, prefix: str) -> asyncio.Task[None]:
        """One reading at a time for each key, and not too many at all."""
        reading = self._readings.get(prefix)
        if reading is None:
            if len(self._readings) >= READINGS_MAX:
                raise errors.OverCapacity
            reading = asyncio.create_task(self._fetch(prefix))
            self._readings[prefix] = reading
            reading.add_done_callback(lambda _: self._readings.pop(prefix))
        return reading

    async def _fetch(self, prefix: str) -> None:
        changes = self._changes
        try:
            async with self._connect() as db:
                key = await api_keys.find(db, prefix)
        except errors.StampgateError:
            stale = self._entries.get(prefix)
            if stale is None:
                raise
            self._entries[prefix] = stale._replace(read_at=time.monotonic())
            return
        if changes != self._changes:
            return
        if key is None:
            _put(self._absent, prefix, time.monotonic())
        else:
            self._keep(key)

    def _keep(self, key: api_keys.Known) -> None:
        entry = _Entry(key, _principal(key), time.monotonic())
        _put(self._entries, key.prefix, entry)
        if key.previous_prefix is not None:
            _put(self._entries, key.previous_prefix, entry)


def credential(headers: MultiMapping[str]) -> str:
    """The one credential of a request; Unauthorized when there is none, or more than one."""
    bearers, keys = headers.getall(AUTHORIZATION, []), headers.getall(API_KEY, [])
    if len(bearers) + len(keys) != 1:
        raise errors.Unauthorized(
            "Send one Authorization header with a bearer token, or X-API-Key."
        )
    if keys:
        if not keys[0].startswith(apikeys.MARK):
            raise errors.ApiKeyInvalid
        return keys[0].rstrip(" ")
    kind, _, text = bearers[0].partition(" ")
    if kind.lower() != "bearer" or not text:
        raise errors.Unauthorized("The Authorization header must be Bearer and a token.")
    return text.strip(" ")


def _put(memory: dict[str, T], prefix: str, value: T) -> None:
    """Remember it; the oldest goes when there are too many."""
    if prefix not in memory and len(memory) >= KEYS_MAX:
        del memory[next(iter(memory))]
    memory[prefix] = value


def _check(key: api_keys.Known, parts: apikeys.Parts, now_s: int) -> None:
    """Raise ApiKeyInvalid or ApiKeyExpired unless the secret is right and the key is good."""
    if parts.prefix == key.prefix:
        stored, until = key.digest, None
    else:
        stored, until = key.previous_digest or b"", key.previous_until
    if not apikeys.is_same(parts.digest, stored) or key.revoked_at is not None:
        raise errors.ApiKeyInvalid
    if any(end and end.timestamp() <= now_s for end in (until, key.expires_at)):
        raise errors.ApiKeyExpired


def _principal(key: api_keys.Known) -> Principal:
    return Principal(
        program_id=key.program_id,
        subject=key.id,
        scopes=frozenset(key.scopes),
        expires_s=NEVER_S if key.expires_at is None else int(key.expires_at.timestamp()),
        token_id=key.id,
        role="app",
        rate_per_minute=key.rate_per_minute,
        key_id=key.id,
    )
