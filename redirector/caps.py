"""Caps: how many redirects a link still gives, decided in Redis and exact over all processes.

The requests of one turn of the event loop for one link are one call. Every redirect that is given
uses the cap up, whatever the visitor's class; HEAD and prefetch only look.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import Any, Final

from core import errors
from core.linkrules import Link
from db import keys
from db.redis import CLICK_CAP, Connection
from web import metrics

log: Final = logging.getLogger("stampgate.caps")

NOTICES_KEPT: Final = 10_000
UNKNOWN: Final = "The link's cap cannot be checked at the moment"

_ADMITTED, _REFUSED = range(2)
_Waiting = deque[asyncio.Future[bool]]


class Caps:
    """Asks Redis, in one call a link and turn, who may still pass."""

    def __init__(self, redis: Connection) -> None:
        self._redis = redis
        self._loop = asyncio.get_running_loop()
        self._asking: dict[str, tuple[int, _Waiting]] = {}
        self._decisions = metrics.Counts(metrics.cap_decisions, [("admitted",), ("refused",)])
        self.tallies: tuple[metrics.Tally, ...] = (self._decisions,)

    async def admit(self, link: Link) -> bool:
        """Use up one redirect of a capped link; False when none is left.

        Raises Unavailable when Redis cannot tell; one may have been used up then.
        """
        link_id, cap = link.snapshot.link_id, link.snapshot.cap or 0
        if link_id not in self._asking:
            self._asking[link_id] = (cap, deque())
            self._loop.call_soon(self._ask, link_id)
        future: asyncio.Future[bool] = self._loop.create_future()
        self._asking[link_id][1].append(future)
        return await future

    async def has_room(self, link: Link) -> bool:
        """Whether a redirect would be given now; raises as `admit`."""
        cap = link.snapshot.cap or 0
        try:
            reply = await self._call(link.snapshot.link_id, 0, cap)
        except errors.StampgateError as error:
            raise errors.Unavailable(UNKNOWN) from error
        if reply is None:
            raise errors.Unavailable(UNKNOWN)
        return int(reply[1]) < cap

    def _call(self, link_id: str, clicks: int, cap: int) -> asyncio.Future[Any]:
        return self._redis.run(CLICK_CAP, (keys.link_cap(link_id),), (clicks, cap))

    def _ask(self, link_id: str) -> None:
        cap, waiting = self._asking.pop(link_id)
        try:
            reply = self._call(link_id, len(waiting), cap)
        except errors.Unavailable as error:
            _refuse(waiting, error)
            return
        reply.add_done_callback(partial(self._answer, link_id, cap, waiting))

    def _answer(
        self, link_id: str, cap: int, waiting: _Waiting, reply: asyncio.Future[Any]
    ) -> None:
        failure = reply.exception()
        if failure is not None or reply.result() is None:
            _refuse(waiting, failure)
            return
        admitted, used = reply.result()
        if admitted and used >= cap:
            self._notify(link_id)
        self._decisions.pending[_ADMITTED] += admitted
        self._decisions.pending[_REFUSED] += len(waiting) - admitted
        for place, future in enumerate(waiting):
            if not future.done():
                future.set_result(place < admitted)

    def _notify(self, link_id: str) -> None:
        """Say that the cap has been reached; a webhook follows from it, nothing that counts."""
        try:
            notice = self._redis.call(
                *("XADD", keys.LINK_CAPS_REACHED, "MAXLEN", "~", NOTICES_KEPT),
                *("*", "l", link_id),
            )
            notice.add_done_callback(_note)
        except errors.Unavailable:
            log.warning("the cap of %s was reached and nobody could be told", link_id)


def _note(notice: asyncio.Future[Any]) -> None:
    if notice.exception() is not None:
        log.warning("a cap was reached and nobody could be told")


def _refuse(waiting: _Waiting, cause: BaseException | None) -> None:
    """Redis is away, or lost the counter; what is left of the cap is rebuilt elsewhere."""
    for future in waiting:
        if not future.done():
            error = errors.Unavailable(UNKNOWN)
            error.__cause__ = cause
            future.set_exception(error)
