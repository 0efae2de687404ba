from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from core.errors import MethodNotAllowed, NotFound
from web import routing
from web.routing import Call, Route, Router


async def handler(call: Call[Any, Any]) -> web.Response:
    return web.Response(text=call.route.name)


def route(method: str, path: str) -> Route:
    return Route(method=method, path=path, handler=handler, name=f"{method} {path}")


router = Router(
    [
        route("POST", "/v1/awards"),
        route("POST", "/v1/awards/batch"),
        route("POST", "/v1/awards/{award_id}/reverse"),
        route("GET", "/v1/members"),
        route("POST", "/v1/members"),
        route("GET", "/v1/members/{member_id}"),
        route("PATCH", "/v1/members/{member_id}"),
        route("GET", "/v1/members/{member_id}/balances/{kind}"),
        route("GET", "/openapi.json"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "name", "params"),
    [
        ("POST", "/v1/awards", "POST /v1/awards", {}),
        ("POST", "/v1/awards/batch", "POST /v1/awards/batch", {}),
        ("HEAD", "/v1/members", "GET /v1/members", {}),
        ("GET", "/v1/members/m1", "GET /v1/members/{member_id}", {"member_id": "m1"}),
        ("HEAD", "/v1/members/m1", "GET /v1/members/{member_id}", {"member_id": "m1"}),
        ("GET", "/v1/members/a%2Fb%C3%A9", "GET /v1/members/{member_id}", {"member_id": "a/bé"}),
        (
            "GET",
            "/v1/members/m1/balances/points",
            "GET /v1/members/{member_id}/balances/{kind}",
            {"member_id": "m1", "kind": "points"},
        ),
    ],
)
def test_a_path_leads_to_its_route(
    method: str, path: str, name: str, params: dict[str, str]
) -> None:
    found, decoded = router.find(method, path)
    assert found.name == name
    assert decoded == params


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1/awards/",
        "/v1//awards",
        "/v1/%61wards",
        "/V1/awards",
        "/v1/members/",
        "/v1/members/m1/",
        "/openapiXjson",
        "/v1/members/%ff",
        "/v1/members/a%00b",
    ],
)
def test_any_other_path_is_not_found(path: str) -> None:
    for method in ("GET", "POST", "HEAD", "BREW"):
        with pytest.raises(NotFound):
            router.find(method, path)


def test_another_method_is_told_what_the_path_takes() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        router.find("DELETE", "/v1/members")
    assert caught.value.allow == ("GET", "HEAD", "POST")
    with pytest.raises(MethodNotAllowed) as caught:
        router.find("GET", "/v1/awards")
    assert caught.value.allow == ("POST",)
    with pytest.raises(MethodNotAllowed) as caught:
        router.find("PUT", "/v1/members/m1")
    assert caught.value.allow == ("GET", "HEAD", "PATCH")


def test_two_routes_for_one_request_stop_the_start() -> None:
    with pytest.raises(ValueError, match="twice"):
        Router([route("GET", "/a/{b}"), route("GET", "/a/{c}")])


def test_the_names_in_a_path_are_its_parameters() -> None:
    assert route("GET", "/a/{b_id}/c/{d}").parameters == ["b_id", "d"]
    assert routing.Route.__struct_config__.frozen
