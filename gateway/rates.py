"""How often callers may come, in requests a minute.

Redis counts for all processes together (`db.limits`). A caller with a high rate does not cost one
question a request: this process leases what the caller is about to use, at most LEASE_US worth of
its rate, answers from that without waiting, and gives back what is left when the lease ends. So
all that is admitted was paid for, at most LEASE_US before. A rate below twenty a second is never
leased.

With Redis away requests go through, since what they do stands on its own; that is counted.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Final

from core import errors, fields
from core.keyring import KeyRing
from core.limits import Policy, Standing
from core.settings import Settings
from db import limits, redis
from gateway.auth import Caller
from web import metrics, proxies

LEASE_US: Final = 100_000
CALLERS_MAX: Final = 10_000
# A request that is not the reason for the trouble does not wait for it as long as an award would.
WAIT_S: Final = 0.25

ANONYMOUS: Final = "anonymous"
CALLER: Final = "caller"
UNKNOWN_KEY: Final = "unknown-key"


def now_us() -> int:
    """The time, in microseconds since the Unix epoch."""
    return time.time_ns() // 1_000


class _Known:
    """What this process knows of a caller: its lease, and that it has to wait."""

    __slots__ = (
        *("asked_us", "is_asking", "leased", "standing", "until_us"),
        *("used", "used_since_us"),
    )

    def __init__(self) -> None:
        self.is_asking = False
        #: What Redis said at `asked_us`; it counts until `until_us`.
        self.standing: Standing | None = None
        self.asked_us = 0
        self.until_us = 0
        self.leased = 0
        self.used = 0
        self.used_since_us = 0

    def keep(self, standing: Standing, asked_us: int, for_us: int) -> None:
        """Remember what Redis said."""
        self.standing, self.asked_us, self.until_us = standing, asked_us, asked_us + for_us


class Rates:
    """The limits of one process on requests."""

    def __init__(self, connection: redis.Connection, ring: KeyRing, settings: Settings) -> None:
        self._redis: Final = connection
        self._ring: Final = ring
        self._default: Final = _policy(CALLER, settings.rate_caller_per_minute)
        self._anonymous: Final = _policy(ANONYMOUS, settings.rate_anonymous_per_minute)
        self._unknown_key: Final = _policy(UNKNOWN_KEY, settings.rate_anonymous_per_minute)
        self._known: dict[str, _Known] = {}
        self._leases: dict[str, _Known] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def policy(self, caller: Caller) -> Policy | None:
        """The limit of a caller with a credential; None when there is none."""
        rate = caller.rate_per_minute
        if rate is None:
            return self._default
        return _policy(CALLER, rate)

    def admit_now(self, caller: Caller, policy: Policy) -> Standing | None:
        """Admit or refuse a request without asking anybody; None when Redis must be asked.

        Raises RateLimited.
        """
        return self._checked(self._from_memory(_who(caller, policy), now_us()), policy)

    async def admit(self, caller: Caller, address: str) -> Standing | None:
        """Admit a request and say where the caller stands; RateLimited when it comes too often.

        None when there is no limit, or nobody to check it.
        """
        if not caller.subject:
            return await self.admit_anonymous(address)
        policy = self.policy(caller)
        return None if policy is None else await self._admit(policy, _who(caller, policy))

    async def admit_anonymous(self, address: str) -> Standing | None:
        """The same for a request without a credential that is good."""
        policy = self._anonymous
        return None if policy is None else await self._admit(policy, self.hashed(address))

    async def admit_key(self, address: str) -> None:
        """Admit a look for an API key that is not in memory; RateLimited. Counted apart from what
        is asked without a credential, which may come from the same server as an app's calls.
        """
        if self._unknown_key is not None:
            await self._admit(self._unknown_key, f"{UNKNOWN_KEY}:{self.hashed(address)}")

    async def look(self, caller: Caller) -> Standing | None:
        """Where a caller stands, without spending; None without a limit. Raises Unavailable."""
        policy = self.policy(caller)
        if policy is None:
            return None
        standing = await limits.look(self._redis, policy, _who(caller, policy), now_us())
        known = self._known.get(_who(caller, policy))
        leased = 0 if known is None else known.leased
        return standing._replace(left=min(policy.quota, standing.left + leased))

    def hashed(self, address: str) -> str:
        """The name under which an address is counted; it cannot be tried out without the key."""
        bucket = proxies.bucket(address)
        return fields.blinds(self._ring, bucket, "rate_limit.address")[0].hex()

    async def close(self) -> None:
        """Give back what is leased."""
        self._end_leases(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=WAIT_S)

    async def _admit(self, policy: Policy, who: str) -> Standing | None:
        now = now_us()
        standing = self._from_memory(who, now)
        if standing is None:
            try:
                async with asyncio.timeout(WAIT_S):
                    standing = await self._ask(policy, who, now)
            except (TimeoutError, errors.StampgateError):
                metrics.rate_limits_unchecked.labels(policy.name, "open").inc()
                return None
        return self._checked(standing, policy)

    @staticmethod
    def _checked(standing: Standing | None, policy: Policy) -> Standing | None:
        if standing is not None and not standing.spent:
            metrics.rate_limited.labels(policy.name).inc()
            raise errors.RateLimited(standing=standing)
        return standing

    def _from_memory(self, who: str, now: int) -> Standing | None:
        known = self._known.get(who)
        if known is None or known.standing is None or now >= known.until_us:
            return None
        said, waited = known.standing, now - known.asked_us
        reset_us = max(0, said.reset_us - waited)
        if not said.spent:
            return Standing(said.policy, 0, said.left, said.wait_us - waited, reset_us)
        if not known.leased:
            return None
        known.leased -= 1
        known.used += 1
        return Standing(said.policy, 1, said.left + known.leased, 0, reset_us)

    async def _ask(self, policy: Policy, who: str, now: int) -> Standing:
        """Spend one, and lease what the caller seems to need next."""
        known = self._remembered(who)
        is_first, known.is_asking = not known.is_asking, True
        most = self._wanted(known, policy, now) if is_first else 1
        try:
            standing = await limits.spend(self._redis, policy, who, now, most=most)
        finally:
            if is_first:
                known.is_asking = False
        known.used += 1
        if standing.spent > 1:
            self._lease(who, known, standing, now)
        elif not standing.spent and not known.leased:
            known.keep(standing, now, standing.wait_us)
        return standing._replace(left=standing.left + max(0, standing.spent - 1))

    @staticmethod
    def _wanted(known: _Known, policy: Policy, now: int) -> int:
        """As many as were used in the time of the last lease, within the caller's rate."""
        age = now - known.used_since_us
        used = known.used if age < 2 * LEASE_US else 0
        if age >= LEASE_US:
            known.used, known.used_since_us = 0, now
        return max(1, min(used, LEASE_US // policy.each_us))

    def _lease(self, who: str, known: _Known, standing: Standing, now: int) -> None:
        if known.leased:
            self._return(who, known)
        known.leased = standing.spent - 1
        known.keep(standing, now, LEASE_US)
        if not self._leases:
            asyncio.get_running_loop().call_later(LEASE_US / 1e6, self._sweep)
        self._leases[who] = known

    def _sweep(self) -> None:
        self._end_leases(now_us())
        if self._leases:
            asyncio.get_running_loop().call_later(LEASE_US / 1e6, self._sweep)

    def _end_leases(self, now: int | None) -> None:
        """End those that are over at `now`; all, when that is None."""
        ended = [
            (who, known)
            for who, known in self._leases.items()
            if now is None or now >= known.until_us
        ]
        for who, known in ended:
            del self._leases[who]
            if known.leased:
                self._return(who, known)

    def _return(self, who: str, known: _Known) -> None:
        count, known.leased = known.leased, 0
        assert known.standing is not None
        task = asyncio.create_task(self._give_back(known.standing.policy, who, count))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, policy: Policy, who: str, count: int) -> None:
        """Redis away: the caller has that many fewer."""
        try:
            await limits.give_back(self._redis, policy, who, now_us(), count)
        except errors.StampgateError:
            metrics.rate_limits_unchecked.labels(policy.name, "closed").inc()

    def _remembered(self, who: str) -> _Known:
        known = self._known.get(who)
        if known is None:
            if len(self._known) >= CALLERS_MAX:
                # Those with a lease stand in `_leases` too, until they have given it back.
                self._known.clear()
            known = self._known[who] = _Known()
        return known


@functools.lru_cache(1_024)
def _policy(name: str, rate_per_minute: int) -> Policy | None:
    return Policy(name, rate_per_minute) if rate_per_minute else None


def _who(caller: Caller, policy: Policy) -> str:
    """Platform staff are one caller, whichever program they name; another rate is another one."""
    program = "" if caller.is_platform else caller.named_program
    return f"{program}:{policy.quota}:{caller.subject}"
