"""Passwords are hashed on threads of their own: so few that the loop keeps a core, so nicely that
whoever waits for points does not wait for a password, and in a queue that ends.

Whether there is an account, has it a password, is it an imported one: all cost the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from core import errors, passwords
from web import metrics

T = TypeVar("T")

# Above the loop's thread, whose niceness is 0.
NICENESS: Final = 10


class Hashing:
    """The threads of one process. `hashed` and `verify` raise OverCapacity when too many wait."""

    def __init__(self, processes: int, pending_max: int) -> None:
        """`processes` is how many of our kind share the machine."""
        threads = max(1, (_cores() - 1) // processes)
        self._pool = ThreadPoolExecutor(threads, "passwords", initializer=_be_nice)
        self._pending_max = pending_max
        self._pending = 0
        # Nobody knows its password.
        self._nobody = passwords.hashed(os.urandom(16).hex(), os.urandom(passwords.SALT_BYTES))

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hashed(self, password: str) -> str:
        """The stored form of a password."""
        salt = os.urandom(passwords.SALT_BYTES)
        return await self._run(lambda: passwords.hashed(password, salt))

    async def verify(self, stored: str | None, password: str, imported: str | None = None) -> bool:
        """Whether it is the password of this stored form; False when there is none.

        `imported` is any bcrypt hash of the same program, if it has one. As long as it has, each
        verification does both kinds of work.
        """
        return await self._run(lambda: self._verify(stored, password, imported))

    def _verify(self, stored: str | None, password: str, imported: str | None) -> bool:
        is_bcrypt = stored is not None and passwords.is_imported(stored)
        ours = self._nobody if stored is None or is_bcrypt else stored
        is_ours = passwords.verify(ours, password)
        theirs = stored if is_bcrypt else imported
        is_theirs = theirs is not None and passwords.verify(theirs, password)
        return is_theirs if is_bcrypt else is_ours and stored is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._pending_max:
            raise errors.OverCapacity("Too many people are signing in; nothing was changed.")
        self._pending += 1
        started = time.perf_counter()
        # Counted by the work's own end: who goes away leaves it in the queue.
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        try:
            return await asyncio.shield(future)
        finally:
            metrics.password_seconds.observe(time.perf_counter() - started)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._pending -= 1
        # The one who asked may be gone: then nobody else looks at it.
        if not future.cancelled():
            future.exception()


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def _be_nice() -> None:
    """On Linux each thread has a niceness of its own."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
