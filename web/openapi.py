"""The OpenAPI 3.1 document of an app, from its route table and the types of its bodies.

The same table always gives the same bytes, so that the committed document can be compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from core.errors import (
    AddressNotAllowed,
    ApiKeyExpired,
    ApiKeyInvalid,
    BodyTooLarge,
    Gone,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InsufficientScope,
    InvalidJson,
    InvalidRequest,
    RateLimited,
    RequestInFlight,
    SecondFactorRequired,
    StampgateError,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
    Unauthorized,
)
from web.problem import JSON, PROBLEM_JSON, Problem
from web.routing import Route
from web.server import HeadTooLarge

Document = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
IDEMPOTENCY_KEY: Final[Document] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes repeating the request safe; 1 to 255 printable ASCII characters.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
SECURITY_SCHEMES: Final[Document] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_SCOPE_ERRORS: Final = (
    Unauthorized,
    TokenInvalid,
    TokenExpired,
    TokenRevoked,
    ApiKeyInvalid,
    ApiKeyExpired,
    InsufficientScope,
)
# The platform's staff may have to come from elsewhere, or to sign in otherwise.
_STAFF_ERRORS: Final = (AddressNotAllowed, SecondFactorRequired)
_KEY_ERRORS: Final = (IdempotencyKeyInvalid, IdempotencyKeyReused)
_VERSION: Final = re.compile(r"v\d+")


def document(routes: Sequence[Route], title: str, version: str) -> Document:
    """The whole document, ready to be encoded as JSON."""
    types = [kind for route in routes for kind in _json_types(route)]
    schemas, components = msgspec.json.schema_components([Problem, *types], ref_template=REF)
    schema_of = iter(schemas[1:])
    paths: dict[str, Document] = defaultdict(dict)
    for route in routes:
        body = next(schema_of) if _has_json_body(route) else _opaque(route.body)
        reply = next(schema_of) if _has_json_reply(route) else _opaque(route.reply)
        paths[route.path][route.method.lower()] = _operation(route, body, reply, schemas[0])
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": dict(paths),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def errors_of(route: Route) -> list[type[StampgateError]]:
    """The errors that the route names, and those that follow from what it takes."""
    found = [*route.errors, HeadTooLarge]
    if route.body is not None:
        found += [BodyTooLarge, InvalidRequest]
    if _has_json_body(route):
        found.append(InvalidJson)
    if route.query is not None:
        found.append(InvalidRequest)
    if route.scope is not None:
        found += _SCOPE_ERRORS
        found += _STAFF_ERRORS if "self" not in route.scope.split() else (AddressNotAllowed,)
    if route.is_limited:
        found.append(RateLimited)
    if route.sunset_on is not None:
        found.append(Gone)
    if route.is_idempotent:
        found += _KEY_ERRORS
        found.append(RequestInFlight if route.is_key_optional else IdempotencyKeyMissing)
    return sorted(set(found), key=lambda error: (error.status, error.code))


def _json_types(route: Route) -> Iterable[Any]:
    if _has_json_body(route):
        yield route.body
    if _has_json_reply(route):
        yield route.reply


def _has_json_body(route: Route) -> bool:
    return route.body is not None and route.body_type == JSON


def _has_json_reply(route: Route) -> bool:
    return route.reply is not None and route.reply_type == JSON


def _opaque(kind: Any) -> Document | None:
    return None if kind is None else {"type": "string"}


def _operation(
    route: Route, body: Document | None, reply: Document | None, problem: Document
) -> Document:
    operation: Document = {"operationId": route.name, "summary": route.summary}
    operation["tags"] = [tag(route.path)]
    if route.deprecated_on is not None:
        operation["deprecated"] = True
    if route.scope is not None:
        operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
        operation["x-required-scope"] = route.scope
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {route.body_type: {"schema": body}},
        }
    operation["responses"] = _responses(route, reply, problem)
    return operation


def tag(path: str) -> str:
    """The first word of the path that is not a version."""
    words = [word for word in path.split("/") if word and not _VERSION.fullmatch(word)]
    return words[0].partition(".")[0]


def _parameters(route: Route) -> list[Document]:
    parameters: list[Document] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.parameters
    ]
    if route.query is not None:
        _, components = msgspec.json.schema_components([route.query], ref_template=REF)
        shape = components[route.query.__name__]
        required = shape.get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in shape["properties"].items()
        ]
    if route.is_idempotent:
        parameters.append({**IDEMPOTENCY_KEY, "required": not route.is_key_optional})
    return parameters


def _responses(route: Route, reply: Document | None, problem: Document) -> Document:
    success: Document = {"description": "Done."}
    if reply is not None:
        success["content"] = {route.reply_type: {"schema": reply}}
    responses: Document = {str(route.status): success}
    if route.known_status is not None:
        responses[str(route.known_status)] = success
    if route.method == "GET" and reply is not None and not route.is_secret:
        responses["304"] = {"description": "The client has it: `If-None-Match` names its ETag."}
    by_status: dict[int, list[type[StampgateError]]] = defaultdict(list)
    for error in errors_of(route):
        by_status[error.status].append(error)
    for status, kinds in by_status.items():
        responses[str(status)] = {
            "description": " ".join(f"`{kind.code}`: {kind.__doc__}" for kind in kinds),
            "x-codes": [kind.code for kind in kinds],
            "content": {PROBLEM_JSON: {"schema": problem}},
        }
    return responses
