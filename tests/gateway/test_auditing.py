"""Who changed what is written down with the change, without secrets and without persons' data."""

from __future__ import annotations

import ast
import functools
import re
from typing import Any

import msgspec
import pytest

from gateway import auditing, routes
from gateway.app import App
from tests import sources
from tests.gateway.conftest import Client, Db
from web.routing import Route

# The ledger keeps who awarded what, and clicks are events; neither is a change of settings.
EVENTS = {
    "create_award",
    "create_stamps",
    "create_awards",
    "reverse_award",
    "create_spend",
    "create_hold",
    "capture_hold",
    "release_hold",
    "mint_click",
    "click_offer",
}
# A session that goes on is the same session; a code that was asked for changes nothing yet.
# What networks report is kept as it came, and the ledger keeps what it did; a trial does nothing.
EVENTS |= {"receive_postback_post", "simulate_network"}
EVENTS |= {"receive_awin_post", "receive_impact_post", "receive_admitad_post"}
# It only reads.
EVENTS |= {"list_eligible_clicks"}
EVENTS |= {"refresh", "send_code", "send_operator_code", "verify_contact", "enroll_totp"}
EVENTS |= {"register", "send_password_reset", "send_operator_password_reset"}
# What providers report becomes part of the message that it is about.
EVENTS |= {"report_sendgrid", "report_ses", "report_twilio", "receive_twilio"}
EVENTS |= {"report_msg91", "report_kaleyra"}
ALIAS = re.compile(r"_alias_\d+$")
WRITERS = {"auditing.record", "audit.add"}
WRITES = """
SELECT action, object_id, before, after, actor, actor_role, address, request_id, program_id
  FROM audit_entry ORDER BY at, id
"""


async def written(db: Db) -> list[Any]:
    return [dict(row) for row in await db.fetch(WRITES)]


async def last(db: Db) -> tuple[str, Any, Any]:
    row = (await written(db))[-1]
    decode = msgspec.json.decode
    before, after = (text and decode(text) for text in (row["before"], row["after"]))
    return row["action"], before, after


@functools.cache
def calls() -> dict[str, set[str]]:
    """What each function of the gateway calls; both as `module.function`."""
    found = {}
    for path in sources.files(".py", under=("gateway",)):
        for function in sources.functions(sources.tree(path)):
            named = {
                ast.unparse(one.func) for one in ast.walk(function) if isinstance(one, ast.Call)
            }
            here = {name if "." in name else f"{path.stem}.{name}" for name in named}
            found[f"{path.stem}.{function.name}"] = here
    return found


def reached(name: str) -> set[str]:
    """What a function calls, through others."""
    found: set[str] = set()
    left = [name]
    while left:
        for called in calls().get(left.pop(), set()) - found:
            found.add(called)
            left.append(called)
    return found


@pytest.mark.parametrize(
    "route",
    [
        route
        for route in routes.ROUTES
        if route.method != "GET" and ALIAS.sub("", route.name) not in EVENTS
    ],
    ids=lambda route: str(route.name),
)
def test_every_route_that_changes_something_writes_it_down(route: Route) -> None:
    module = route.handler.__module__.rpartition(".")[2]
    assert reached(f"{module}.{route.handler.__name__}") & WRITERS


async def test_an_entry_says_who_did_what_from_where(client: Client, app: App, db: Db) -> None:
    made = await client.post("/v1/merchants", {"name": "Shop"}, Request_Id="req-7")
    program, merchant = await written(db)
    assert program["action"] == "program.create"
    assert (program["actor"], program["program_id"]) == ("test", program["object_id"])
    assert merchant == {
        "action": "merchant.create",
        "object_id": made.body["id"],
        "before": None,
        "after": '{"name":"Shop"}',
        "actor": "test",
        "actor_role": "app",
        "address": "127.0.0.0",
        "request_id": "req-7",
        "program_id": program["object_id"],
    }


async def test_a_change_is_written_as_what_differs(client: Client, db: Db) -> None:
    made = (await client.post("/v1/merchants", {"name": "Shop", "external_id": "s"})).body
    await client.patch(f"/v1/merchants/{made['id']}", {"name": "Store"})
    assert await last(db) == ("merchant.change", {"name": "Shop"}, {"name": "Store"})
    link = (await client.post("/v1/links", {"destination": "https://a.example/"})).body
    await client.patch(f"/v1/links/{link['id']}", {"cap": 5, "password": "open sesame"})
    assert await last(db) == ("link.change", {}, {"cap": 5, "password": "***"})
    await client.delete(f"/v1/links/{link['id']}")
    assert await last(db) == ("link.delete", {"slug": link["slug"]}, None)
    hook = {"url": "https://shop.example/hook", "events": ["award.created"]}
    endpoint = (await client.post("/v1/webhook-endpoints", hook)).body
    await client.patch(f"/v1/webhook-endpoints/{endpoint['id']}", {"state": "disabled"})
    action, before, after = await last(db)
    assert action == "webhook_endpoint.change"
    assert (before["state"], after["state"]) == ("enabled", "disabled")
    await client.post(f"/v1/webhook-endpoints/{endpoint['id']}/enable", None)
    assert (await last(db))[0] == "webhook_endpoint.enable"


async def test_a_persons_data_and_secrets_stay_out(client: Client, db: Db) -> None:
    person = {"external_id": "asha@example.com", "name": "Asha", "attributes": {"shoe": "41"}}
    made = (await client.post("/v1/members", person)).body
    path = f"/v1/members/{made['id']}"
    await client.patch(path, {"name": "Asha Rao", "attributes": {"shoe": "42"}})
    assert await last(db) == ("member.change", None, {"fields": ["attributes", "name"]})
    await client.put("/v1/members/upsert", person)
    await client.post("/v1/members/bulk", {"items": [{"name": "Ravi"}]})
    action, _, after = await last(db)
    assert (action, len(after["ids"])) == ("member.create_many", 1)
    await client.delete(path)
    hook = {"url": "https://shop.example/hook", "events": ["award.created"]}
    endpoint = (await client.post("/v1/webhook-endpoints", hook)).body
    rotate = f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret"
    rotated = (await client.post(rotate, {"overlap_hours": 1})).body
    everything = str(await written(db))
    assert "member.delete" in everything
    for secret in ("Asha", "Ravi", "shoe", "asha@", endpoint["secret"], rotated["secret"]):
        assert secret not in everything


async def test_what_is_refused_or_repeated_is_not_written_again(client: Client, db: Db) -> None:
    count = len(await written(db))
    body = {"name": "Shop", "external_id": "s"}
    for _ in range(2):
        await client.post("/v1/merchants", body, Idempotency_Key="k")
    assert (await client.post("/v1/merchants", body)).status == 409
    assert (await client.patch("/v1/merchants/mrc_x", {"name": "A"})).status == 404
    assert len(await written(db)) == count + 1


async def test_platform_staff_write_into_the_chain_of_the_program_they_change(
    client: Client, staff: Client, db: Db
) -> None:
    program_id = (await written(db))[0]["object_id"]
    await staff.patch(f"/v1/programs/{program_id}", {"name": "Coffee"})
    entry = (await written(db))[-1]
    assert (entry["action"], entry["program_id"]) == ("program.change", program_id)


def test_telling_names_are_blanked_at_any_depth() -> None:
    given = {"a": [{"api_token": "x", "is_secret": True}], "mail": "m", "text": "to a@b.example"}
    _, after = auditing.difference(None, given)
    assert after == {
        "a": [{"api_token": "***", "is_secret": True}],
        "mail": "***",
        "text": "to ***",
    }
