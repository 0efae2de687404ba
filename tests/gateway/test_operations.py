"""The document of the API, and the routes that operators ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import errors, tokens
from gateway import routes
from tests.gateway.conftest import Client
from web import openapi
from web.routing import Route

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def kinds(parent: type[errors.StampgateError]) -> set[type[errors.StampgateError]]:
    """All errors below `parent`."""
    return {parent}.union(*map(kinds, parent.__subclasses__()))


def test_the_committed_document_is_the_route_table() -> None:
    """Write it with `python -m gateway --openapi > openapi.json`."""
    assert COMMITTED.read_bytes() == routes.document()


def test_route_names_are_unique_and_scopes_exist() -> None:
    names = [route.name for route in routes.ROUTES]
    assert len(set(names)) == len(names)
    wanted = {scope for route in routes.ROUTES for scope in (route.scope or "").split()}
    assert wanted <= {*tokens.SCOPES, *tokens.OWN}


def test_only_health_and_what_others_report_is_never_limited() -> None:
    free = {route.path.split("/")[1] for route in routes.ROUTES if not route.is_limited}
    assert free == {"health", "api", "webhooks", "postback"}
    assert all(route.scope is None for route in routes.ROUTES if not route.is_limited)


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: str(route.name))
def test_every_declared_error_is_one_that_the_api_answers(route: Route) -> None:
    declared = openapi.errors_of(route)
    assert set(declared) <= kinds(errors.StampgateError)
    assert all(400 <= error.status <= 503 for error in declared)
    assert route.summary
    assert len(set(route.errors)) == len(route.errors)


async def test_all_but_the_operators_routes_need_a_token(client: Client) -> None:
    """Those by which one gets a token are open, and those whose callers prove themselves by a
    signature or by what is in the path; few others are."""
    for route in routes.ROUTES:
        if route.scope is not None:
            answer = await client.call(route.method, route.path, Authorization=None)
            assert (route.path, answer.status) == (route.path, 401)
    is_open = {route.path for route in routes.ROUTES if route.scope is None}
    ways_in = {path for path in is_open if "/auth/" in path}
    assert is_open - ways_in == {
        *("/version", "/health/live", "/health/ready", "/api/health", "/openapi.json"),
        *("/docs", "/v1/referral-codes/{code}"),
        *("/.well-known/jwks.json", "/v1/downloads/{ticket}", "/u/{token}"),
        *("/postback/{network_id}/{token}", "/webhooks/razorpayx", "/webhooks/cashfree-payouts"),
        *("/webhooks/sendgrid", "/webhooks/ses", "/webhooks/twilio", "/webhooks/twilio/inbound"),
        "/webhooks/twilio/status",
        *("/webhooks/msg91/{secret}", "/webhooks/kaleyra/{secret}"),
        *(f"/webhooks/{name}/{{network_id}}/{{token}}" for name in ("admitad", "awin", "impact")),
    }


async def test_the_document_is_served(client: Client) -> None:
    served = await client.get("/openapi.json")
    assert served.status == 200
    assert served.body["openapi"] == "3.1.0"
    assert "/v1/links/{link_id}/stats" in served.body["paths"]


async def test_all_routes_are_on_one_page_for_people(client: Client) -> None:
    answer = await client.get("/docs", Authorization=None)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    assert [
        one.name for one in routes.ROUTES if f"<td>{one.method} {one.path}<td>" not in page
    ] == []
    assert "<script" not in page


async def test_the_gateway_says_its_version_and_that_it_is_ready(client: Client) -> None:
    assert (await client.get("/version")).body["version"]
    assert (await client.get("/health/live")).body == {"status": "live"}
    ready = await client.get("/health/ready")
    assert (ready.status, ready.body["status"]) == (200, "ready")


async def test_a_head_request_is_a_get_without_a_body(client: Client) -> None:
    answer = await client.call("HEAD", "/v1/members")
    assert (answer.status, answer.body) == (200, b"")


async def test_a_sane_request_id_comes_back_and_another_is_replaced(client: Client) -> None:
    kept = await client.get("/v1/members", Request_Id="order-7")
    assert kept.headers["Request-Id"] == "order-7"
    replaced = await client.get("/v1/members", Request_Id="a b")
    assert replaced.headers["Request-Id"] not in {"", "a b"}
