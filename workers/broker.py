"""Dramatiq on the queue Redis, set up so that a dead worker's messages are soon somebody else's.

The queue is a hint: what is to be done, and when again, stands in the outbox. So messages are
neither delayed, nor retried, nor buried here. The queue Redis is used for nothing else, because
Dramatiq's upkeep looks at every key in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis as redis_py
from dramatiq import Broker as AnyBroker
from dramatiq import Consumer, Message, Middleware, Worker
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO, TimeLimit
from redis.backoff import NoBackoff
from redis.retry import Retry

from core import tasks
from core.http import Send
from core.keyring import KeyRing
from core.providers.payouts.protocol import PayoutProvider
from core.settings import Settings
from core.storage import DOWNLOADS, Storage
from db import pg, redis
from db.outbox import Ticket
from web import providers, storage
from web.keyfile import KeyFile
from web.outbound import Outbound
from workers.channels import table
from workers.channels.table import Channels

# One hash tag, so that all of Dramatiq's keys share a slot.
NAMESPACE: Final = "{dramatiq}"
HEARTBEAT_TIMEOUT_MS: Final = 15_000
# Out of a million commands, those that also look for dead workers.
MAINTENANCE_CHANCE: Final = 100_000
SOCKET_TIMEOUT_S: Final = 5.0
# An idle worker asks for messages at least this often.
IDLE_MS: Final = 200
# Less than `outbox.RESEND_AFTER_S`, or a task could be performed twice at a time.
TIME_LIMIT_MS: Final = 45_000
# Of what renews its row meanwhile.
LONG_LIMIT_MS: Final = 3_600_000

QUEUES: Final = sorted({route.queue for route in tasks.TASKS.values()})
_QUEUE_OF: Final = {route.actor: route.queue for route in tasks.TASKS.values()}


class Tools(NamedTuple):
    """What actors work with."""

    settings: Settings
    ring: KeyRing
    pool: pg.Pool
    redis: redis.Connection
    send: Send
    channels: Channels
    storage: Storage
    payouts: Mapping[str, PayoutProvider] = {}


class Resources(Middleware):
    """Opens the actors' tools once in a process, on the loop that async actors run on."""

    _tools: Tools

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Here and not on the loop, where Dramatiq would go on without it.
        self._keys = KeyFile(Path(settings.keyring_file))
        self._outbound: Outbound

    @property
    def tools(self) -> Tools:
        """The tools, with the key ring as its file is by now."""
        self._keys.look()
        return self._tools._replace(ring=self._keys.current)

    def before_worker_boot(self, _broker: AnyBroker, _worker: Worker) -> None:
        """Dramatiq's hook; `AsyncIO` has started the loop."""
        _on_actors_loop(self._open())

    def after_worker_shutdown(self, _broker: AnyBroker, _worker: Worker) -> None:
        """Dramatiq's hook; called before the one of `AsyncIO`."""
        _on_actors_loop(self._close())

    async def _open(self) -> None:
        self._outbound = Outbound(allow=self._settings.outbound_allow)
        self._tools = Tools(
            self._settings,
            self._keys.current,
            await pg.open_pool(self._settings),
            await redis.Connection.open(self._settings.redis_url),
            self._outbound.send,
            table.chosen(self._settings),
            await storage.open(
                self._settings.storage_place, lambda: self._keys.current, served_at=DOWNLOADS
            ),
            providers.payouts(self._settings),
        )

    async def _close(self) -> None:
        await self._outbound.close()
        await self._tools.storage.close()
        await self._tools.redis.close()
        self._tools.pool.terminate()


class Broker(RedisBroker):
    """Calls `on_lost` when the connection was lost.

    Dramatiq would go on under the same id and keep alive its claim on messages that it no longer
    knows; only a new process gets them back.
    """

    def __init__(
        self, url: str, middleware: Sequence[Middleware], on_lost: Callable[[], object]
    ) -> None:
        client = redis_py.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            # A command that is sent again might take messages twice.
            retry=Retry(NoBackoff(), 0),
        )
        super().__init__(  # type: ignore[no-untyped-call] # no hints
            client=client,
            middleware=middleware,
            namespace=NAMESPACE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=MAINTENANCE_CHANCE,
        )
        self._on_lost = on_lost
        self._consumed: set[str] = set()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = IDLE_MS) -> Consumer:
        """Dramatiq's hook: it consumes a queue anew when the connection has failed."""
        if queue_name in self._consumed:
            self._on_lost()
        self._consumed.add(queue_name)
        return super().consume(queue_name, prefetch, timeout)

    def queued(self) -> int:
        """Messages that wait or are being worked on; blocks."""
        return sum(int(self.do_qsize(queue)) for queue in QUEUES)

    def send(self, tickets: Sequence[Ticket]) -> None:
        """Put messages on the queues of their tasks; blocks."""
        for ticket in tickets:
            self.enqueue(message(ticket))


def for_sending(settings: Settings) -> Broker:
    """The relay's broker: it consumes nothing."""
    return Broker(settings.queue_url, [], lambda: None)


def for_working(settings: Settings, on_lost: Callable[[], object]) -> tuple[Broker, Resources]:
    """The broker of a process that performs tasks, and the resources of its actors; BadKeyRing,
    OSError without a key ring.
    """
    resources = Resources(settings)
    # The order counts: the loop is started before the resources and stopped after them.
    middleware = [TimeLimit(time_limit=TIME_LIMIT_MS), AsyncIO(), resources]
    return Broker(settings.queue_url, middleware, on_lost), resources


def message(ticket: Ticket) -> Message[Any]:
    """The message that starts a row of the outbox."""
    return Message(
        queue_name=_QUEUE_OF[ticket.task],
        actor_name=ticket.task,
        args=(ticket.id, ticket.attempt),
        kwargs={},
        options={},
    )


def _on_actors_loop(work: Any) -> None:
    thread = get_event_loop_thread()
    assert thread is not None
    thread.run_coroutine(work)
