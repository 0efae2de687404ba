from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from web.health import Health


async def works() -> None:
    return


async def fails() -> None:
    raise OSError("postgres://app:password@10.0.0.1 is gone")


async def hangs() -> None:
    await asyncio.Event().wait()


def body(answer: web.Response) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


async def test_a_process_that_answers_is_live() -> None:
    answer = await Health({"redis": fails}).live(None)
    assert answer.status == 200


async def test_a_process_is_ready_when_every_check_passes() -> None:
    answer = await Health({"redis": works, "postgres": works}).ready(None)
    assert answer.status == 200
    assert body(answer) == {"status": "ready"}


async def test_the_failing_checks_are_named_and_nothing_more_is_told() -> None:
    checks = {"redis": hangs, "spool": works, "postgres": fails}
    answer = await Health(checks, deadline_s=0.05).ready(None)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    document = body(answer)
    assert document["code"] == "unavailable"
    assert document["errors"] == [
        {"check": "redis", "detail": "no answer within 0.05 s"},
        {"check": "postgres", "detail": "OSError"},
    ]
    assert "password" not in json.dumps(document)
