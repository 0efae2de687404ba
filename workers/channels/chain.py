"""The providers of one channel, one after the other, until one has the message.

The next is asked only when the one before has certainly not sent it. Each is asked no faster than
its rate, and not at all while it rests: after failures, or because it asked for patience. Both are
counted in each process by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from core.http import Send
from core.providers.protocols import Begin, Deferred, NotificationChannel, Outcome, Unknown
from core.templates import Message

FAILURES_MAX: Final = 5
REST_S: Final = 30.0
#: For its turn a message waits so long in the worker, and longer in its row.
TURN_S_MAX: Final = 5.0
# An attempt must end before its task is sent again: with time for one request more.
LATEST_START_S: Final = 8.0

NOBODY: Final = "no provider is set up that takes it"


class Ended(NamedTuple):
    """What came of an attempt, and by whom. One that only waited for its turn does not count."""

    provider: str
    outcome: Outcome
    is_counted: bool = True


class Link:
    """A provider, and how much it is asked: at most `rate_per_s`, 0 for no limit."""

    def __init__(self, provider: NotificationChannel, rate_per_s: float = 0.0) -> None:
        self.provider: Final = provider
        self._interval_s = 1 / rate_per_s if rate_per_s else 0.0
        self._next_s = 0.0
        self._failures = 0
        self._rests_until_s = 0.0

    def rest_s(self, now_s: float) -> float:
        """For how long it is left alone; at its end one message tries, and holds back others."""
        rest_s = self._rests_until_s - now_s
        if rest_s > 0:
            return rest_s
        if self._failures >= FAILURES_MAX:
            self._rests_until_s = now_s + REST_S
        return 0.0

    def turn_s(self, now_s: float) -> float:
        """The wait until one more may be sent; taken, if it is not longer than TURN_S_MAX."""
        wait_s = max(self._next_s - now_s, 0.0)
        if wait_s <= TURN_S_MAX:
            self._next_s = now_s + wait_s + self._interval_s
        return wait_s

    def note(self, outcome: Outcome, now_s: float) -> None:
        """Learn from an outcome. A no is an answer, and as good as a yes."""
        if not isinstance(outcome, Deferred | Unknown):
            self._failures, self._rests_until_s = 0, 0.0
            return
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._rests_until_s = now_s + REST_S
        if isinstance(outcome, Deferred) and outcome.retry_after_s > 0:
            self._rests_until_s = max(self._rests_until_s, now_s + outcome.retry_after_s)


class Chain:
    """The providers of one channel in the order in which they are asked."""

    def __init__(
        self,
        links: Sequence[Link],
        clock: Callable[[], float] | None = None,
        *,
        is_stand_in: bool = False,
    ) -> None:
        """`clock` gives seconds; the running loop's unless a test has its own. A stand-in keeps
        what is sent by a channel that nobody is set up for, while others have providers.
        """
        self.links: Final = tuple(links)
        self._is_stand_in = is_stand_in
        self._clock = clock

    @property
    def slugs(self) -> tuple[str, ...]:
        """Who is asked, in order."""
        return tuple(link.provider.slug for link in self.links)

    def is_set_up_for(self, message: Message) -> bool:
        """Whether somebody can bring this message to its recipient."""
        takes = any(link.provider.takes(message) for link in self.links)
        return takes and not self._is_stand_in

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Ended:
        """Make one attempt, with all providers that it takes."""
        clock = self._clock or asyncio.get_running_loop().time
        once, started_s = _Once(begin), clock()
        tried: list[Ended] = []
        for link in self.links:
            if link.provider.takes(message) and clock() - started_s <= LATEST_START_S:
                ended = await _ask(link, send, message, once, clock)
                if not isinstance(ended.outcome, Deferred):
                    return ended
                tried.append(ended)
        return _soonest(tried)


async def _ask(
    link: Link, send: Send, message: Message, begin: Begin, clock: Callable[[], float]
) -> Ended:
    slug = link.provider.slug
    if (rest_s := link.rest_s(clock())) > 0:
        return Ended(slug, Deferred(f"{slug} is left alone for a while", rest_s))
    if (turn_s := link.turn_s(clock())) > TURN_S_MAX:
        return Ended(slug, Deferred(f"{slug} has had its share", turn_s), is_counted=False)
    if turn_s:
        await asyncio.sleep(turn_s)
    outcome = await link.provider.deliver(send, message, begin)
    link.note(outcome, clock())
    return Ended(slug, outcome)


def _soonest(tried: Sequence[Ended]) -> Ended:
    """What to say when nobody took it: the first that was asked, and when the first is free."""
    if not tried:
        return Ended("none", Deferred(NOBODY))
    waits = [one.outcome.retry_after_s for one in tried if isinstance(one.outcome, Deferred)]
    provider, outcome, _ = tried[0]
    assert isinstance(outcome, Deferred)
    is_counted = any(one.is_counted for one in tried)
    return Ended(provider, Deferred(outcome.reason, min(waits)), is_counted)


class _Once:
    """Begins with the first provider that gets so far."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._has_begun = False

    async def __call__(self) -> None:
        if not self._has_begun:
            await self._begin()
            self._has_begun = True
