"""`GET /r/{slug}`: statuses, headers, and what is recorded of whom."""

from __future__ import annotations

import time

import pytest

from core import classes, clickid, testclicks
from core.keyring import KeyRing
from db.redis import Connection
from tests.redirector.conftest import PROGRAM, Publish, Redirector, eventually, live, recorded


async def test_click_is_recorded_and_the_destination_carries_its_id(
    redirector: Redirector, publish: Publish, connection: Connection, ring: KeyRing
) -> None:
    link_id = await publish("demo")
    answer = await redirector.get("/r/demo", {"Referer": "https://blog.example/a"})
    assert answer.status == 302
    prefix, click_id = answer.headers["Location"].split("subid=")
    assert prefix == "https://shop.example/p?"
    clickid.verify(click_id, PROGRAM, ring.click)
    (click,) = await recorded(connection)
    assert (click.click_id, click.link_id, click.program_id) == (click_id, link_id, PROGRAM)
    assert (click.hit_class, click.reasons) == (classes.HUMAN, ())
    assert (click.address, click.referrer) == ("127.0.0.0", "https://blog.example/a")
    assert await live(connection, link_id) == {classes.HUMAN: 1}


async def test_redirect_has_exactly_the_headers_of_the_design(
    redirector: Redirector, publish: Publish
) -> None:
    await publish("demo", referrer_policy="origin")
    headers = dict((await redirector.get("/r/demo")).headers)
    assert headers.pop("Location").startswith("https://shop.example/")
    assert headers.pop("Date")
    assert headers == {
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "origin",
        "X-Robots-Tag": "noindex",
        "Content-Length": "0",
    }


async def test_a_hundred_clicks_on_one_connection_get_a_hundred_ids_in_order(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo")
    answers = [await redirector.get("/r/demo") for _ in range(100)]
    found = [answer.headers["Location"].split("subid=")[1] for answer in answers]
    assert [click.click_id for click in await recorded(connection)] == found
    assert [clickid.decode(one).sequence for one in found] == list(range(1, 101))
