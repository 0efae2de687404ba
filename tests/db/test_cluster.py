"""Two Redis nodes in cluster mode take every script: its keys are declared and share a slot."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis, exceptions

from core import events, ids
from core.limits import Policy
from core.settings import Settings
from db import clicks, keys, limits, pg, redis, snapshot
from db.points import Points
from deploy.local.processes import Process
from deploy.local.redis_server import ENV, find_binary
from redirector.batches import Batch, send
from tests.db import accounts
from tests.db.accounts import PROGRAM, Bank, ask, closing, limited
from tests.ports import free_port

PASSWORD = "only-for-this-test"
HALF = 8_192  # slots


class Node(NamedTuple):
    """A master, and what was run on it: scripts and their keys."""

    process: Process
    admin: Redis
    url: str


class Recording(redis.Connection):
    """Remembers the keys of each script call."""

    def recorded(self) -> list[tuple[str, Sequence[str | bytes]]]:
        found: list[tuple[str, Sequence[str | bytes]]] = self.__dict__.setdefault("calls", [])
        return found

    def run(
        self, script: redis.Script, keys: Sequence[str | bytes], arguments: Sequence[Any]
    ) -> asyncio.Future[Any]:
        self.recorded().append((script.name, keys))
        return super().run(script, keys, arguments)


def start(folder: Path) -> Node:
    # Its cluster bus takes the one 10,000 above.
    port = free_port()
    data = folder / str(port)
    data.mkdir()
    settings = {
        "port": port,
        "bind": "127.0.0.1",
        "cluster-enabled": "yes",
        "requirepass": PASSWORD,
        "masterauth": PASSWORD,
        "save": "",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    command = [find_binary(), *arguments]
    process = Process(f"node {port}", command, log=folder / f"{port}.log", env=ENV, cwd=data)
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}"
    return Node(process, Redis("127.0.0.1", port, password=PASSWORD), url)


def execute(admin: Redis, *command: str | int | bytes) -> Any:
    return admin.execute_command(*command)  # type: ignore[no-untyped-call]  # no hints


def wait_until_up(node: Node, states: set[str]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(exceptions.RedisError):
            if execute(node.admin, "CLUSTER INFO")["cluster_state"] in states:
                return
        time.sleep(0.02)
    raise TimeoutError(node.process.tail())


def join(nodes: list[Node]) -> None:
    """Give each node half of the slots, and make them one cluster."""
    for number, node in enumerate(nodes):
        wait_until_up(node, {"ok", "fail"})
        execute(node.admin, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        execute(node.admin, "CLUSTER ADDSLOTS", *range(number * HALF, (number + 1) * HALF))
    other = nodes[1].admin.connection_pool.connection_kwargs["port"]
    execute(nodes[0].admin, "CLUSTER MEET", "127.0.0.1", other)
    for node in nodes:
        wait_until_up(node, {"ok"})


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    folder = Path(tempfile.mkdtemp(prefix="sg-"))
    started = [start(folder) for _ in range(2)]
    try:
        join(started)
        yield started
    finally:
        for node in started:
            node.admin.close()
            node.process.kill()
        shutil.rmtree(folder)


def slot(node: Node, key: str | bytes) -> int:
    found: int = execute(node.admin, "CLUSTER KEYSLOT", key)
    return found


@pytest.fixture
async def connections(nodes: list[Node]) -> AsyncIterator[list[Recording]]:
    opened = [await Recording.open(node.url) for node in nodes]
    assert all(connection.is_up for connection in opened)
    yield opened
    for connection in opened:
        await connection.close()


async def use_partition(connection: redis.Connection, number: int) -> None:
    """Every operation of an award partition, with limits, intervals and a budget."""
    settings = Settings(database_url="postgresql://nowhere/", redis_url="unix:", queue_url="unix:")
    state = Points(connection, settings)
    bank = Bank(state, pg.open_pool(settings))
    head = (1, 0, connection.run_id, 1)
    assert await connection.run(redis.POINTS_HEAD, (keys.award_head(number),), head) == 1
    names = (f"mem_{count}" for count in itertools.count())
    member = next(
        name for name in names if ids.partition_of(PROGRAM, name, keys.AWARD_PARTITIONS) == number
    )
    await state.open_accounts(PROGRAM, [member])
    await state.add_lease(number, 1, PROGRAM, "points", 500)
    rules = limited(per_member_day=1_000, interval_s=1, budget=500)
    award = await bank.decide(ask("award", 100, member_id=member, program=rules))
    taken = ask("reverse", 10, member_id=member, related=accounts.name(award), bound=100)
    await bank.decide(taken)
    await bank.decide(ask("spend", 10, member_id=member))
    for op in ("capture", "release", "expire"):
        hold = await bank.decide(ask("hold", 10, member_id=member, expires_in_s=60))
        await bank.decide(closing(op, hold)._replace(partition=number))
    peek = (1, "0-0", 100, events.account_field(PROGRAM, member, "points"))
    seen = await connection.run(redis.POINTS_PEEK, keys.award_state(number, 1)[:3], peek)
    assert seen[2] == [b"70"]
    assert await state.balances(PROGRAM, member) == {"points": (70, 0), "stamps": (0, 0)}


async def use_clicks(owner: Callable[[str], Recording], number: int) -> None:
    """Record, cap, premake and visit clicks; publish a link; count a caller."""
    batch = Batch(number, 1, 1, 0, events.encode(events.ClickBatch(number, 1, [])), {"lnk:0": 1})
    for applied in (1, 0):
        assert await send(owner(keys.click_stream(number)), batch) == applied
    link_id = ids.new("link", number, bytes(10))
    counter = keys.link_cap(link_id)
    await owner(counter).call("SET", counter, 0)
    assert await owner(counter).run(redis.CLICK_CAP, (counter,), (5, 3)) == [3, 3]
    click = keys.premint(f"click{number}")
    await owner(click).run(clicks.PREMINT, (click,), (b"packed", 60))
    assert await owner(click).run(redis.CLICK_VISIT, (click,), (5,)) == [b"packed", 1]
    who = f"caller{number}"
    rated = owner(keys.rate_limit("caller", who))
    spent = await limits.spend(rated, Policy("caller", 10), who, 1_700_000_000_000_000, most=3)
    assert spent.left == 7
    guarded = owner(keys.failures(who))
    tried = await limits.tried(
        guarded, "try", Policy("sign-in", 5), who, 1_700_000_000_000_000, "a"
    )
    assert tried.may_go_on
    slug = f"slug{number}"
    published = owner(keys.link_snapshot(slug))
    assert await snapshot.publish(published, slug, 1, b"blob") == 1


async def test_every_script_runs_where_its_keys_are(
    nodes: list[Node], connections: list[Recording]
) -> None:
    def owner(key: str) -> Recording:
        return connections[slot(nodes[0], key) // HALF]

    for number in range(keys.AWARD_PARTITIONS):
        await use_partition(owner(keys.award_head(number)), number)
    for number in range(keys.CLICK_PARTITIONS):
        await use_clicks(owner, number)
    calls = [call for connection in connections for call in connection.recorded()]
    assert {name for name, _ in calls} == {
        script.name for script in (*redis.SCRIPTS, clicks.PREMINT)
    }
    assert all(connection.recorded() for connection in connections)
    for name, used in calls:
        assert len({slot(nodes[0], key) for key in used}) == 1, name


async def test_keys_of_two_slots_are_refused(connections: list[Recording]) -> None:
    with pytest.raises(redis.ReplyError, match="CROSSSLOT"):
        await connections[0].run(redis.CLICK_BATCH, ("{a}", "{b}", "{c}"), (1, 1, b""))
