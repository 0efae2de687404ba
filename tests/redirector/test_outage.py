"""Redis slow, away, or without its data: what was answered arrives, once."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

from core import classes
from core.events import Click
from db import snapshot
from db.redis import Connection
from deploy.local.redis_server import Redis
from redirector import spool
from tests.lanes import BOTH_LANES
from tests.redirector.conftest import Publish, Redirector, Start, eventually, live, recorded
from tests.redirector.workers import Worker, workers

pytestmark = BOTH_LANES


def click_id(location: str) -> str:
    return location.split("subid=")[1]


async def clicked(redirector: Redirector, times: int, path: str = "/r/demo") -> set[str]:
    """The click ids of so many clicks at once, all answered with a redirect."""
    answers = await asyncio.gather(*(redirector.get(path) for _ in range(times)))
    assert {answer.status for answer in answers} == {302}
    return {click_id(answer.headers["Location"]) for answer in answers}


async def arrived(connection: Connection, expected: set[str]) -> list[Click]:
    """All recorded clicks, when the expected ones are among them."""

    async def are_there() -> bool:
        if not connection.is_up:
            return False
        return expected <= {click.click_id for click in await recorded(connection)}

    await eventually(are_there)
    return await recorded(connection)


async def test_redis_away_cached_links_redirect_and_clicks_arrive_later_once(
    redirector: Redirector, publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    link_id = await publish("demo")
    expected = await clicked(redirector, 5)
    redis_server.kill()
    expected |= await clicked(redirector, 50)
    unknown = await redirector.get("/r/never-seen")
    assert (unknown.status, unknown.headers["Retry-After"]) == (503, "1")
    redis_server.start()
    clicks = await arrived(connection, expected)
    assert len(clicks) == len(expected) == 55
    assert await live(connection, link_id) == {classes.HUMAN: 55}
    await eventually(lambda: not spool.segments(redirector.state.spool.folder))


async def test_stalled_redis_misses_the_deadline_and_a_late_acknowledgement_cancels(
    start: Start, publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    redirector = await start(click_deadline_ms=25)
    link_id = await publish("demo")
    expected = await clicked(redirector, 1)
    assert redis_server.process is not None
    redis_server.process.send(signal.SIGSTOP)
    try:
        for _ in range(3):
            expected |= await clicked(redirector, 3)
        assert redirector.state.spool.live >= 3
        assert redirector.state.recorder.commit.breaker.is_open
    finally:
        redis_server.process.send(signal.SIGCONT)
    await eventually(lambda: redirector.state.spool.used_bytes() == 0)
    assert len(await arrived(connection, expected)) == len(expected) == 10
    assert await live(connection, link_id) == {classes.HUMAN: 10}


async def test_breaker_closes_again_when_a_probe_is_acknowledged_in_time(
    start: Start, publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    redirector = await start(click_deadline_ms=50)
    await publish("demo")
    await clicked(redirector, 1)
    commit = redirector.state.recorder.commit
    assert redis_server.process is not None
    redis_server.process.send(signal.SIGSTOP)
    try:
        for _ in range(3):
            await clicked(redirector, 1)
    finally:
        redis_server.process.send(signal.SIGCONT)

    async def is_closed() -> bool:
        await clicked(redirector, 1)
        return not commit.breaker.is_open

    await eventually(is_closed)
    clicks = await recorded(connection)
    assert len({click.click_id for click in clicks}) == len(clicks)


async def test_full_spool_refuses_with_503(
    start: Start, publish: Publish, redis_server: Redis
) -> None:
    redirector = await start(spool_max_bytes=4096, spool_segment_bytes=4096)
    await publish("demo")
    await clicked(redirector, 1)
    redis_server.kill()
    await eventually(lambda: not redirector.state.redis.is_up)
    statuses = [(await redirector.get("/r/demo")).status for _ in range(40)]
    assert set(statuses) == {302, 503}
    assert statuses == sorted(statuses)
    assert (await redirector.get("/r/demo")).headers["Retry-After"] == "1"
    assert spool.size(spool.segments(redirector.state.spool.folder)[0]) <= 4096


async def test_killed_worker_leaves_its_spool_to_the_others(
    environ: dict[str, str], publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    link_id = await publish("demo")

    def run() -> set[str]:
        with workers(environ, 2) as (one, other):
            found = [worker.get("/r/demo") for worker in (one, other)]
            redis_server.kill()
            found += [one.get("/r/demo") for _ in range(20)]
            one.kill()
            redis_server.start()
            assert {status for status, _ in found} == {302}
            segments = Path(environ["STAMPGATE_SPOOL_DIR"])
            while spool.segments(segments):
                assert other.process.poll() is None
            return {click_id(location) for _, location in found}

    expected = await asyncio.to_thread(run)
    assert len(await arrived(connection, expected)) == len(expected) == 22
    assert await live(connection, link_id) == {classes.HUMAN: 22}


async def test_redis_away_at_the_start_is_503_until_it_comes(
    start: Start, publish: Publish, redis_server: Redis
) -> None:
    await publish("demo")
    redis_server.kill()
    redirector = await start()
    assert (await redirector.get("/r/demo")).status == 503
    assert (await redirector.get("/health/live")).status == 200
    assert (await redirector.get("/health/ready")).status == 503
    redis_server.start()
    await eventually(lambda: redirector.state.redis.is_up)

    async def redirects() -> bool:
        return (await redirector.get("/r/demo")).status == 302

    await eventually(redirects)


async def test_wiped_redis_turns_no_cached_link_into_a_404(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    await clicked(redirector, 1)
    await eventually(lambda: redirector.state.cache._position != snapshot.START)
    await connection.call("FLUSHALL")
    await eventually(lambda: redirector.state.cache.is_bare)
    await clicked(redirector, 1)
    assert (await redirector.get("/r/never-seen")).status == 503
    await publish("other")
    await clicked(redirector, 1, "/r/other")
    await eventually(lambda: not redirector.state.cache.is_bare)
    assert (await redirector.get("/r/never-seen")).status == 404


async def test_worker_that_is_told_to_stop_answers_and_leaves_no_spool(
    environ: dict[str, str], publish: Publish, connection: Connection
) -> None:
    await publish("demo")

    def run() -> int:
        with workers(environ, 1) as (worker,):
            assert worker.get("/r/demo")[0] == 302
            return worker.stop()

    assert await asyncio.to_thread(run) == 0
    assert len(await recorded(connection)) == 1
    assert not list(Path(environ["STAMPGATE_SPOOL_DIR"]).iterdir())


async def test_kills_under_load_lose_no_answered_click_and_count_none_twice(
    environ: dict[str, str], publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    link_id = await publish("demo")
    stop = threading.Event()

    def click_until_stopped(worker: Worker) -> list[str]:
        found = []
        connection = worker.connect()
        while not stop.is_set():
            try:
                status, location = worker.get("/r/demo", connection)
            except OSError:
                connection.close()
                continue
            except HTTPException:
                connection.close()
                connection = worker.connect()
                continue
            if status == 302:
                found.append(click_id(location))
        connection.close()
        return found

    def run() -> set[str]:
        with workers(environ, 2) as both, ThreadPoolExecutor(8) as threads:
            clickers = [threads.submit(click_until_stopped, both[n % 2]) for n in range(8)]
            for worker in both:
                redis_server.restart()
                worker.kill()
                worker.start()
                worker.wait_until_ready()
            redis_server.restart()
            both[0].wait_until_ready()
            stop.set()
            answered = [one for clicker in clickers for one in clicker.result()]
            assert len(answered) == len(set(answered)) > 0
            folder = Path(environ["STAMPGATE_SPOOL_DIR"])
            while any(map(spool.size, spool.segments(folder))):
                assert both[0].process.poll() is None
            return set(answered)

    answered = await asyncio.to_thread(run)
    clicks = await arrived(connection, answered)
    found = [click.click_id for click in clicks]
    assert len(found) == len(set(found))
    assert sum((await live(connection, link_id)).values()) == len(found)
