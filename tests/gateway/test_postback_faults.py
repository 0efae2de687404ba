"""What each affiliate network is answered, whatever is wrong: what the page on providers says."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from core.providers.affiliate.report import Postback
from core.settings import Settings
from tests.gateway import faults, reporting, wires
from tests.gateway.conftest import Client, Db, running
from tests.gateway.faults import told
from tests.gateway.reporting import Account
from tests.providers.affiliate.conftest import KINDS

SAID = faults.ANSWERS["networks"]
#: Nothing that rates, clicks or the day decide about: only whether a call counts.
FIELDS = {"status": "word", "click_id": "none", "event_at": "none", "currency": "none"}
#: Where each may call.
PLACES = [
    *((slug, "/postback") for slug in KINDS),
    *((slug, f"/webhooks/{slug}") for slug in ("awin", "impact", "admitad")),
]
CUT_OFF = Postback(
    method="POST",
    headers={"content-type": "application/json"},
    body=b'{"txn_id": "T1", "payout": "1.',
)


async def account(client: Client, slug: str) -> tuple[Account, Postback]:
    """A network, and its own postback."""
    theirs = KINDS[slug]("http://127.0.0.1:9")
    config = {**theirs.config(), "field_map": FIELDS, "currency": "INR"}
    made = await reporting.network(
        client, provider=slug, config=config, credentials=theirs.credentials()
    )
    return made, theirs.sample().postback


async def call(one: Account, said: Postback) -> Any:
    """The call, answered with its verdict."""
    return await one.client.call(
        said.method,
        f"{one.path}?{said.query}",
        said.body or None,
        **said.headers,
        **reporting.JSON,
    )


@pytest.mark.parametrize(("slug", "place"), PLACES)
async def test_each_fault_has_one_answer(client: Client, db: Db, slug: str, place: str) -> None:
    one, good = await account(client, slug)
    one = one._replace(path=one.path.replace("/postback", place))
    place, _, token = one.path.rpartition("/")
    wrong = one._replace(path=f"{place}/{token.swapcase()}")
    assert told(await call(wrong, good)) == SAID.forged
    assert told(await call(one, CUT_OFF)) == SAID.cut_off
    unknown = replace(good, query=f"{good.query}&word=teleported".lstrip("&"))
    assert told(await call(one, unknown)) == SAID.unknown_word
    assert await db.fetchval("SELECT count(*) FROM conversion") == 0
    assert told(await call(one, good)) == "200 `accepted`"
    assert told(await call(one, good)) == SAID.again
    assert await db.fetchval("SELECT count(*) FROM conversion") == 1
    # All of it can be looked at.
    rows = await db.fetch("SELECT verdict FROM postback ORDER BY id")
    verdicts = ["bad_token", "malformed", "status_unknown", "accepted", "duplicate"]
    assert [row["verdict"] for row in rows] == verdicts


async def test_what_cannot_be_stored_now_is_good_when_it_comes_again(
    client: Client, db: Db, settings: Settings, session: aiohttp.ClientSession
) -> None:
    one, good = await account(client, "generic")
    async with wires.wired(settings) as (wire, led), running(led) as (_, url):
        far = one._replace(client=Client(session, url, {}))
        # Whether the network is known to this process, or has to be read.
        for number in range(2):
            wire.cut()
            assert told(await call(far, good)) == SAID.away
            assert await db.fetchval("SELECT count(*) FROM postback") == number
            wire.is_cut = False
            assert (await call(far, good)).status == 200
    assert await db.fetchval("SELECT count(*) FROM conversion") == 1
