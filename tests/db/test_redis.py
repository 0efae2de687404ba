"""The multiplexed connection: each reply finds its caller, and a failure says what it may mean."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator

import pytest

from core import errors, events
from db import keys, redis
from deploy.local.redis_server import Redis
from tests.db.conftest import until


@pytest.fixture
async def wire(redis_server: Redis) -> AsyncIterator[redis.Connection]:
    """A connection whose server the test owns."""
    opened = await redis.Connection.open(redis_server.url, deadline_s=0.4)
    yield opened
    await opened.close()


def pause(server: Redis, how: signal.Signals) -> None:
    assert server.process is not None
    os.kill(server.process.pid, how)


async def echo(connection: redis.Connection, tag: int) -> int:
    return int(await connection.call("ECHO", tag))


async def test_commands_of_one_turn_are_answered_in_their_order(
    connection: redis.Connection,
) -> None:
    replies = [connection.call("INCR", "n") for _ in range(500)]
    assert connection.pending == 500
    assert await asyncio.gather(*replies) == list(range(1, 501))
    assert connection.pending == 0


async def test_a_caller_that_goes_away_never_gets_another_callers_reply(
    connection: redis.Connection,
) -> None:
    dice = random.Random(11)

    async def ask(tag: int) -> None:
        if dice.random() < 0.5:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await connection.call("ECHO", tag)
        else:
            assert await echo(connection, tag) == tag
        await asyncio.sleep(0)

    for start in range(0, 6_000, 300):
        await asyncio.gather(*(ask(tag) for tag in range(start, start + 300)))
    assert connection.pending == 0


async def test_a_killed_server_leaves_sent_calls_unknown_and_later_ones_undone(
    redis_server: Redis, wire: redis.Connection
) -> None:
    pause(redis_server, signal.SIGSTOP)
    sent = wire.call("INCR", "n")
    await asyncio.sleep(0)
    unsent = wire.call("INCR", "n")
    wire._drop()
    with pytest.raises(errors.OutcomeUnknown):
        await sent
    with pytest.raises(errors.Unavailable):
        await unsent
    with pytest.raises(errors.Unavailable):
        _ = wire.call("INCR", "n")
    redis_server.kill()


async def test_a_connection_that_breaks_comes_back_on_another_run(
    redis_server: Redis, wire: redis.Connection
) -> None:
    before = wire.run_id
    redis_server.kill()
    await until(lambda: not wire.is_up)
    redis_server.start()
    await until(lambda: wire.is_up)
    assert wire.run_id != before
    assert await echo(wire, 7) == 7


async def test_a_server_that_hangs_is_given_up_at_the_deadline(
    redis_server: Redis, wire: redis.Connection
) -> None:
    pause(redis_server, signal.SIGSTOP)
    late = [wire.call("INCR", "n") for _ in range(3)]
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.OutcomeUnknown] * 3
    pause(redis_server, signal.SIGCONT)
    await until(lambda: wire.is_up)
    assert await echo(wire, 8) == 8
    assert wire.reconnects >= 1


@pytest.mark.parametrize("bounds", [{"max_pending": 10}, {"max_pending_bytes": 400}])
async def test_more_than_the_bounds_allow_is_refused_unsent(
    redis_url: str, bounds: dict[str, int]
) -> None:
    connection = await redis.Connection.open(redis_url, **bounds)
    accepted: list[asyncio.Future[int]] = []
    with pytest.raises(errors.OverCapacity):
        accepted.extend(connection.call("INCR", "n") for _ in range(100))
    before = connection.pending
    assert 1 <= before <= 30
    await until(lambda: connection.pending == 0)
    assert await connection.call("GET", "n") == b"%d" % before
    await connection.close()


async def test_a_lost_script_is_loaded_and_run_once(connection: redis.Connection) -> None:
    await connection.call("SCRIPT", "FLUSH")
    call = ((keys.premint("x"),), (5,))
    runs = [connection.run(redis.CLICK_VISIT, *call) for _ in range(3)]
    assert await asyncio.gather(*runs) == [None] * 3
    assert await connection.run(redis.CLICK_VISIT, *call) is None


@pytest.mark.parametrize("policy", ["noeviction"])
async def test_a_full_server_refuses_and_nothing_is_written(
    redis_server: Redis, wire: redis.Connection, policy: str
) -> None:
    await wire.call("CONFIG", "SET", "maxmemory-policy", policy)
    await wire.call("CONFIG", "SET", "maxmemory", "100")
    batch = events.encode(events.ClickBatch(1, 1, []))
    script_keys = (keys.click_stream(0), keys.click_counts(0), keys.click_marks(0, 1, 0))
    with pytest.raises(errors.Unavailable):
        await wire.run(redis.CLICK_BATCH, script_keys, (1, 60, batch, "f", 1))
    with pytest.raises(errors.Unavailable):
        await wire.call("SET", "a", "b")
    assert await wire.call("DBSIZE") == 0


async def test_a_server_that_loads_is_not_ready(
    redis_server: Redis, wire: redis.Connection
) -> None:
    for message, kind in (
        ("LOADING Redis is loading the dataset in memory", errors.Unavailable),
        ("READONLY You can't write against a read only replica.", errors.Unavailable),
        (
            "ERR Error running script (call to f_0): @user_script:5: -OOM command",
            errors.Unavailable,
        ),
        ("ERR unknown command", redis.ReplyError),
        ("WRONGTYPE Operation against a key", redis.ReplyError),
    ):
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        wire._settle_error(redis._Call(future, 0.0, None, b""), message)
        with pytest.raises(kind):
            await future


async def test_an_error_is_the_error_of_its_own_call(connection: redis.Connection) -> None:
    replies = await asyncio.gather(
        connection.call("SET", "text", "x"),
        connection.call("INCR", "text"),
        connection.call("GET", "text"),
        return_exceptions=True,
    )
    assert [replies[0], replies[2]] == [b"OK", b"x"]
    assert isinstance(replies[1], redis.ReplyError)


async def test_passwords_users_databases_and_tcp_are_taken_from_the_url(
    redis_server: Redis, wire: redis.Connection
) -> None:
    path = str(redis_server.socket)
    await wire.call("ACL", "SETUSER", "app", "on", ">p@ss", "~*", "&*", "+@all")
    await wire.call("CONFIG", "SET", "requirepass", "s3cret")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(path)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for number, url in enumerate(
        (
            f"unix://:s3cret@{path}?db=3",
            f"unix://app:p%40ss@{path}",
            f"redis://:s3cret@127.0.0.1:{port}/3",
        )
    ):
        opened = await redis.Connection.open(url)
        assert opened.is_up, url
        await opened.call("SET", f"key{number}", "x")
        await opened.close()
    server.close()
    assert await wire.call("KEYS", "*") == [b"key1"]
    await wire.call("SELECT", 3)
    assert sorted(await wire.call("KEYS", "*")) == [b"key0", b"key2"]


async def test_a_wrong_password_keeps_the_connection_down(
    redis_server: Redis, wire: redis.Connection
) -> None:
    await wire.call("CONFIG", "SET", "requirepass", "s3cret")
    opened = await redis.Connection.open(f"unix://:wrong@{redis_server.socket}", wait_s=0.2)
    assert not opened.is_up
    with pytest.raises(errors.Unavailable):
        _ = opened.call("PING")
    await opened.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", ("127.0.0.1", 6379, "", "", "", 0, False)),
        ("rediss://u:p@h:1/2", ("h", 1, "", "u", "p", 2, True)),
        ("unix:///a%20b/c.sock?db=4", ("127.0.0.1", 6379, "/a b/c.sock", "", "", 4, False)),
    ],
)
def test_a_url_says_where_and_as_whom(url: str, address: tuple[object, ...]) -> None:
    assert redis.parse_url(url) == address


def test_another_kind_of_url_is_refused() -> None:
    with pytest.raises(ValueError):
        redis.parse_url("http://x")
