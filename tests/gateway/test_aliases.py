"""Apps that were written to one of the original designs find their paths, as spelled there."""

from __future__ import annotations

import re

import pytest

from gateway import aliases, routes
from tests import sources
from tests.gateway.conftest import Client


@pytest.mark.parametrize(
    ("method", "path", "name"), aliases.PATHS, ids=lambda one: str(one).replace("/", "_")
)
def test_a_path_of_the_designs_has_the_handler_of_its_route(
    method: str, path: str, name: str
) -> None:
    (alias,) = (one for one in routes.ROUTES if (one.method, one.path) == (method, path))
    (route,) = (one for one in routes.ROUTES if one.name == name)
    assert (alias.handler, alias.scope, alias.body, alias.reply, alias.errors) == (
        route.handler,
        route.scope,
        route.body,
        route.reply,
        route.errors,
    )
    assert alias.parameters == route.parameters


def test_the_document_names_every_path_of_the_designs() -> None:
    table = (sources.ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = [re.sub(r"\{\w+}", "{id}", path) for _, path, _ in aliases.PATHS]
    assert [path for path in shown if path not in table] == []


async def test_health_customers_and_merchants_answer_as_under_v1(client: Client) -> None:
    assert (await client.get("/api/health", Authorization=None)).body == {"status": "live"}
    member = (await client.post("/v1/members", {"name": "Asha"})).body
    assert (await client.get(f"/customers/{member['id']}")).body == member
    assert (await client.get("/customers/mem_x")).code == "member_not_found"
    made = await client.post("/merchants", {"name": "Shop"}, Idempotency_Key="k")
    assert made.status == 201
    again = await client.post("/merchants", {"name": "Shop"}, Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await client.get(f"/merchants/{made.body['id']}")).body == made.body
    assert (await client.get("/merchants")).body == (await client.get("/v1/merchants")).body
    assert (await client.get("/trackingsessions")).body == (await client.get("/v1/clicks")).body
    assert (await client.get("/profile")).status == 403
    assert (await client.get("/customers/mem_x", Authorization=None)).status == 401


async def test_the_customers_of_a_business_are_its_own(client: Client, other: Client) -> None:
    business = (await client.get("/v1/audit")).body["data"][0]["program_id"]
    path = f"/api/v1/businesses/{business}/customers"
    made = await client.post(path, {"name": "Asha"})
    assert made.status == 201
    assert (await client.get(path)).body["data"] == [made.body]
    assert (await client.get(f"{path}/{made.body['id']}")).body == made.body
    for method in ("GET", "POST"):
        refused = await other.call(method, path, {"name": "A"} if method == "POST" else None)
        assert (refused.status, refused.code) == (403, "forbidden")
    assert (await other.get(f"{path}/{made.body['id']}")).status == 403


async def test_signing_in_by_the_paths_of_the_designs(client: Client) -> None:
    for path in ("/auth/login", "/api/v1/auth/login"):
        direct = await client.post("/v1/auth/login", {"email": "a@b.example", "password": "no"})
        alias = await client.post(path, {"email": "a@b.example", "password": "no"})
        assert (alias.status, alias.code) == (direct.status, direct.code)
