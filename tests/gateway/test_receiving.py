"""Calls of networks that cannot be read now: they are stored all the same."""

from __future__ import annotations

import pytest

from gateway import receiving
from tests.gateway import reporting
from tests.gateway.conftest import Client, Db


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


async def test_a_network_that_nobody_gave_out_is_not_looked_for(client: Client) -> None:
    for name in ("net_1", "lnk_01h455vb4pex5vsknk084sn02q", "%00"):
        answer = await client.call("GET", f"/postback/{name}/token", Authorization=None)
        assert answer.status in {400, 404}
