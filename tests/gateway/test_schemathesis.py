"""What the API does is what `/openapi.json` says, for whatever the document allows and forbids.

Schemathesis makes requests out of the document; each is sent to a running gateway by every kind of
caller. `make fuzz` does the same for longer.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from core import roles, tokens
from core.settings import Settings
from gateway import routes
from tests.gateway.conftest import RING, Client, bearer, token

EXAMPLES: Final = int(os.environ.get("STAMPGATE_TEST_EXAMPLES", "3"))
SEED: Final = int(os.environ.get("STAMPGATE_TEST_SEED", "4"))
# Each in a process of its own, when there are several.
SHARDS: Final = 6
# What ends sessions or removes what the others need comes last.
LAST: Final = ("logout", "sessions", "erase")
# Answered with a 200 in which each item has its own answer.
ITEM_BY_ITEM: Final = ("/bulk", "/batch")
# Of one operation and mode.
FINDINGS_MAX: Final = 2
MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

# `make fuzz` has what is marked so, as all property tests are.
pytestmark = pytest.mark.hypothesis

load_all_checks()
CONFORMANCE: Final = CHECKS.get_by_names([
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
])  # fmt: skip
REJECTION: Final = CHECKS.get_by_names(["negative_data_rejection"])
CONFIG: Final = schemathesis.Config.from_dict({
    "generation": {"with-security-parameters": False},
    # A parameter may also be too long for a request line.
    "checks": {
        "negative_data_rejection": {
            "expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 431]
        }
    },
})  # fmt: skip

Headers = dict[str, str]


def operations() -> list[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_dict(msgspec.json.decode(routes.document()), config=CONFIG)
    found = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        found.append(result.ok())
    return sorted(found, key=lambda one: one.method.upper() == "DELETE" or is_last(one.path))


def is_last(path: str) -> bool:
    return any(word in path for word in LAST)


def shard(number: int) -> list[APIOperation[Any, Any, Any, Any]]:
    """Every sixth operation; an operation keeps its place whatever others come."""
    return [one for one in operations() if zlib.crc32(one.label.encode()) % SHARDS == number]


def person(program_id: str | None, subject: str, role: Any) -> Headers:
    """Somebody who signed in."""
    signed = tokens.issue(
        RING,
        program_id=program_id,
        subject=subject,
        scopes=roles.SCOPES_OF[role],
        now_s=int(time.time()),
        ttl_s=3600,
        token_id="tok_person",
        role=role,
        rate_per_minute=0,
    )
    return bearer(signed)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without the limit that all of this would run into; 429 is tested elsewhere."""
    return msgspec.structs.replace(settings, rate_anonymous_per_minute=0)


@pytest.fixture
async def ids(client: Client) -> dict[str, str]:
    """Things that are there, by the names that paths give them."""
    program_id = (await client.get("/v1/audit")).body["data"][0]["program_id"]
    found = {"program_id": program_id}
    for name, path, body in (
        ("member_id", "/v1/members", {"name": "Asha"}),
        ("merchant_id", "/v1/merchants", {"name": "Shop"}),
        ("category_id", "/v1/categories", {"slug": "tea", "name": "Tea"}),
        ("link_id", "/v1/links", {"destination": "https://a.example/"}),
        (
            "endpoint_id",
            "/v1/webhook-endpoints",
            {"url": "https://shop.example/hook", "events": ["award.created"]},
        ),
    ):
        made = await client.post(path, body)
        assert made.status == 201, made.body
        found[name] = made.body["id"]
    return found


@pytest.fixture
def callers(ids: dict[str, str]) -> dict[str, Headers]:
    program_id = ids["program_id"]
    return {
        "admin": {**bearer(token(None)), "Stampgate-Program": program_id},
        "owner": person(program_id, "opr_owner", "owner"),
        "member": person(program_id, ids["member_id"], "member"),
        "anonymous": {},
    }


def cases(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, ids: dict[str, str]
) -> st.SearchStrategy[Any]:
    """Requests about anything, and about what is there."""
    known = {name: ids[name] for name in ids if f"{{{name}}}" in operation.path}
    anything = operation.as_strategy(mode)
    if not known or mode is GenerationMode.NEGATIVE:
        return anything
    return st.one_of(operation.as_strategy(mode, path_parameters=known), anything)


def modes(operation: APIOperation[Any, Any, Any, Any]) -> tuple[GenerationMode, ...]:
    """Whatever the document forbids is tried where it forbids something: any text will do as a
    segment of a path.
    """
    is_free = not operation.body and all(
        one.location is ParameterLocation.PATH and one.definition["schema"] == {"type": "string"}
        for one in operation.iter_parameters()
    )
    return (GenerationMode.POSITIVE,) if is_free else MODES


def failures(
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    url: str,
    ids: dict[str, str],
    callers: dict[str, Headers],
) -> list[str]:
    """What was answered otherwise than the document says."""
    found: list[str] = []

    @seed(SEED)
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(operation, mode, ids))
    def send(case: Any) -> None:
        for name, headers in callers.items():
            found.extend(wrong(case, name, headers, url))

    send()
    return found[:FINDINGS_MAX]


def wrong(case: Any, name: str, headers: Headers, url: str) -> Iterator[str]:
    with requests.Session() as session:
        response = case.call(base_url=url, session=session, headers=headers, timeout=20)
        is_refused_whole = not case.operation.path.endswith(ITEM_BY_ITEM)
        checks = CONFORMANCE + (REJECTION if name == "admin" and is_refused_whole else [])
        try:
            case.validate_response(response, checks=checks)
        except FailureGroup as error:
            yield f"{case.operation.label} as {name}: {error}"


@pytest.mark.parametrize("number", range(SHARDS))
@pytest.mark.timeout(60 + 60 * EXAMPLES)
async def test_the_api_does_what_its_document_says(
    number: int, gateway: tuple[Any, str], ids: dict[str, str], callers: dict[str, Headers]
) -> None:
    def walk() -> list[str]:
        return [
            one
            for operation in shard(number)
            for mode in modes(operation)
            for one in failures(operation, mode, gateway[1], ids, callers)
        ]

    found = await asyncio.to_thread(walk)
    assert not found, "\n\n".join(found)
