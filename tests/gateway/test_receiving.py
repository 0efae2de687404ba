"""Calls of networks that cannot be read now: they are stored all the same."""

from __future__ import annotations

import pytest

from gateway import receiving
from tests.gateway import reporting
from tests.gateway.conftest import Client, Db
from tests.providers.affiliate.trackier import Trackier


async def test_calls_are_stored_while_the_settings_of_their_network_are_not_good(
    client: Client, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "FRESH_S", -1.0)
    account = await reporting.network(client)
    good = await db.fetchval("SELECT config FROM network")
    # As after an upgrade that knows a setting no more.
    await db.execute("""UPDATE network SET config = '{"color": "red"}'""")
    answer = await reporting.call(account, txid="t1", payout="5")
    assert (answer.status, answer.body) == (200, b"OK")
    told = await reporting.report(account, txid="t2", payout="5")
    assert told["verdict"] == "received"
    wrong = account._replace(path=account.path[:-1] + ("a" if account.path[-1] != "a" else "b"))
    assert (await reporting.call(wrong, txid="t3")).status == 403
    await db.execute("UPDATE network SET config = $1", good)
    last = await reporting.report(account, txid="t4", payout="5")
    assert last["verdict"] == "accepted"
    rows = await db.fetch("SELECT verdict FROM postback ORDER BY id")
    assert [row["verdict"] for row in rows] == [None, None, "bad_token", "accepted"]


async def test_calls_of_a_disabled_network_are_kept_and_not_read(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "FRESH_S", -1.0)
    account = await reporting.network(client)
    path = f"/v1/networks/{account.id}"
    assert (await client.patch(path, {"state": "disabled"})).status == 200
    answer = await reporting.call(account, txid="t1", payout="5")
    assert (answer.status, answer.body) == (200, b"OK")
    told = await reporting.report(account, txid="t2", payout="5")
    assert (told["verdict"], told["conversion"]) == ("disabled", None)
    assert (await client.get("/v1/conversions")).body["data"] == []
    again = await client.post(f"/v1/postbacks/{told['id']}/replay", {})
    assert again.body["verdict"] == "accepted"


async def test_a_network_that_nobody_gave_out_is_not_looked_for(client: Client) -> None:
    for name in ("net_1", "lnk_01h455vb4pex5vsknk084sn02q", "%00"):
        answer = await client.call("GET", f"/postback/{name}/token", Authorization=None)
        assert answer.status in {400, 404}


async def test_a_list_has_the_beginning_of_long_bodies(client: Client) -> None:
    account = await reporting.network(client)
    body = b"txid=t1&payout=5&note=" + b"x" * 5_000
    form = "application/x-www-form-urlencoded"
    sent = await client.call("POST", account.path, body, Authorization=None, Content_Type=form)
    assert sent.status == 200
    [listed] = (await client.get(f"/v1/networks/{account.id}/postbacks")).body["data"]
    assert listed["body"] == body[:2_000].decode()
    assert (await client.get(f"/v1/postbacks/{listed['id']}")).body["body"] == body.decode()


async def test_what_would_lose_or_double_reports_of_an_api_is_refused(client: Client) -> None:
    theirs = Trackier("http://127.0.0.1:9")
    account = {
        "provider": "trackier",
        "name": "Shops",
        "config": theirs.config(),
        "credentials": theirs.credentials(),
    }
    for dedupe in ("increment", "new_each"):
        refused = await client.post("/v1/networks", {**account, "rules": {"dedupe": dedupe}})
        assert (refused.status, refused.code) == (422, "invalid_request")
    made = await client.post("/v1/networks", account)
    assert made.status == 201, made
    path = f"/v1/networks/{made.body['id']}"
    refused = await client.patch(path, {"rules": {"dedupe": "increment"}})
    assert (refused.status, refused.code) == (422, "invalid_request")
    # What is read up to a time to come would not be asked for when it comes.
    refused = await client.post(
        f"{path}/sync?from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", b""
    )
    assert (refused.status, refused.code) == (422, "invalid_request")
    asked = await client.post(f"{path}/sync?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", b"")
    assert asked.status == 202
