from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from aiohttp import web

from core.errors import InsufficientBalance, MemberNotFound
from web import openapi
from web.routing import Call, Route


class Spend(msgspec.Struct, forbid_unknown_fields=True):
    member: str
    amount: Annotated[int, msgspec.Meta(gt=0)]


class Receipt(msgspec.Struct):
    id: str
    kind: Literal["points", "stamps"]


class Receipts(msgspec.Struct):
    data: list[Receipt]
    next_cursor: str | None = None


class Page(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    cursor: str | None = None


async def handler(_: Call[Any, Any]) -> web.Response:
    return web.Response()


ROUTES = [
    Route(
        method="POST",
        path="/v1/spends",
        handler=handler,
        name="create_spend",
        summary="Take points.",
        scope="awards:write",
        body=Spend,
        reply=Receipt,
        status=201,
        errors=(MemberNotFound, InsufficientBalance),
        is_idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/members/{member_id}/spends",
        handler=handler,
        name="list_spends",
        scope="awards:read",
        query=Page,
        reply=Receipts,
    ),
    Route(method="GET", path="/openapi.json", handler=handler, name="get_openapi"),
    Route(
        method="POST",
        path="/v1/links/import",
        handler=handler,
        name="import_links",
        body=bytes,
        body_type="text/csv",
        is_idempotent=True,
        is_key_optional=True,
    ),
]


@pytest.fixture
def document() -> Any:
    return json.loads(json.dumps(openapi.document(ROUTES, "Stampgate", "1.0")))


def test_bodies_and_replies_are_the_types_that_decode_them(document: Any) -> None:
    operation = document["paths"]["/v1/spends"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Spend"}
    reply = operation["responses"]["201"]["content"]["application/json"]["schema"]
    assert reply == {"$ref": "#/components/schemas/Receipt"}
    schemas = document["components"]["schemas"]
    assert schemas["Spend"]["properties"]["amount"] == {"type": "integer", "exclusiveMinimum": 0}
    assert schemas["Spend"]["additionalProperties"] is False
    assert list(schemas) == sorted(schemas) == ["Problem", "Receipt", "Receipts", "Spend"]


def test_every_reference_leads_somewhere(document: Any) -> None:
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


def test_errors_are_listed_by_status_and_code(document: Any) -> None:
    responses = document["paths"]["/v1/spends"]["post"]["responses"]
    codes = {status: answer["x-codes"] for status, answer in responses.items() if status != "201"}
    assert codes == {
        "400": ["idempotency_key_invalid", "idempotency_key_missing", "invalid_json"],
        "401": [
            *("api_key_expired", "api_key_invalid"),
            *("token_expired", "token_invalid", "token_revoked", "unauthorized"),
        ],
        "403": ["address_not_allowed", "insufficient_scope", "second_factor_required"],
        "404": ["member_not_found"],
        "409": ["insufficient_balance"],
        "413": ["body_too_large"],
        "422": ["idempotency_key_reused", "invalid_request"],
        "429": ["rate_limited"],
        "431": ["head_too_large"],
    }
    problem = responses["404"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


def test_a_key_may_be_optional(document: Any) -> None:
    imports = document["paths"]["/v1/links/import"]["post"]
    spends = document["paths"]["/v1/spends"]["post"]
    assert [imports["parameters"][0]["required"], spends["parameters"][0]["required"]] == [
        False,
        True,
    ]
    assert imports["responses"]["409"]["x-codes"] == ["request_in_flight"]
    assert "idempotency_key_missing" not in imports["responses"]["400"]["x-codes"]


def test_parameters_come_from_the_path_the_query_type_and_the_headers(document: Any) -> None:
    listed = document["paths"]["/v1/members/{member_id}/spends"]["get"]["parameters"]
    assert [(item["name"], item["in"], item["required"]) for item in listed] == [
        ("member_id", "path", True),
        ("limit", "query", False),
        ("cursor", "query", False),
    ]
    assert listed[1]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    created = document["paths"]["/v1/spends"]["post"]["parameters"]
    assert [item["name"] for item in created] == ["Idempotency-Key"]


def test_scopes_are_told_and_open_routes_need_no_credential(document: Any) -> None:
    spends = document["paths"]["/v1/spends"]["post"]
    assert spends["x-required-scope"] == "awards:write"
    assert spends["security"] == [{"bearer": []}, {"api_key": []}]
    assert "security" not in document["paths"]["/openapi.json"]["get"]
    assert document["paths"]["/openapi.json"]["get"]["tags"] == ["openapi"]
    assert spends["tags"] == ["spends"]


def test_a_body_that_is_not_json_is_told_by_its_media_type(document: Any) -> None:
    body = document["paths"]["/v1/links/import"]["post"]["requestBody"]
    assert body["content"] == {"text/csv": {"schema": {"type": "string"}}}


def test_the_same_table_gives_the_same_bytes(document: Any) -> None:
    again = openapi.document(ROUTES, "Stampgate", "1.0")
    assert json.dumps(again, indent=2) == json.dumps(document, indent=2)
