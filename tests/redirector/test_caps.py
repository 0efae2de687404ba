"""Caps are exact over all processes, whoever is asked."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from db import keys
from db.redis import Connection
from deploy.local.redis_server import Redis
from tests.redirector.conftest import Publish, Redirector, eventually, recorded
from tests.redirector.workers import Worker, workers

CAP = 1_000


def click_often(worker: Worker, path: str, times: int) -> list[int]:
    connection = worker.connect()
    statuses = [worker.get(path, connection)[0] for _ in range(times)]
    connection.close()
    return statuses


@pytest.mark.parametrize("shares", [(300, 300, 300, 300), (1_150, 20, 20, 10)])
async def test_cap_of_a_thousand_gives_exactly_a_thousand_redirects_through_four_processes(
    environ: dict[str, str],
    publish: Publish,
    connection: Connection,
    shares: tuple[int, ...],
) -> None:
    link_id = await publish("capped", cap=CAP)

    def run() -> list[int]:
        with workers(environ, len(shares)) as started, ThreadPoolExecutor(8) as threads:
            halves = [
                threads.submit(click_often, worker, "/r/capped", share // 2)
                for worker, share in zip(started, shares, strict=True)
                for _ in range(2)
            ]
            return [status for half in halves for status in half.result()]

    statuses = await asyncio.to_thread(run)
    assert statuses.count(302) == CAP
    assert statuses.count(410) == sum(shares) - CAP
    clicks = await recorded(connection)
    assert len({click.click_id for click in clicks}) == len(clicks) == CAP
    notices = await connection.call("XRANGE", keys.LINK_CAPS_REACHED, "-", "+")
    assert [fields for _, fields in notices] == [[b"l", link_id.encode()]]


async def test_refused_clicks_go_to_the_fallback_without_a_click_id(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("capped", cap=3, fallback_url="https://later.example/")
    answers = await asyncio.gather(*(redirector.get("/r/capped") for _ in range(10)))
    locations = [answer.headers["Location"] for answer in answers]
    assert locations.count("https://later.example/") == 7
    assert len(await recorded(connection)) == 3


async def test_capped_link_without_redis_or_its_counter_is_503(
    redirector: Redirector, publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    link_id = await publish("capped", cap=3)
    assert (await redirector.get("/r/capped")).status == 302
    await connection.call("DEL", keys.link_cap(link_id))
    assert (await redirector.get("/r/capped")).status == 503
    redis_server.kill()
    await eventually(lambda: not redirector.state.redis.is_up)
    answer = await redirector.get("/r/capped")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
