"""Every route, asked by somebody who may use it about things that are there: so that it is the body
that is refused, and the answer itself that is looked at."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from core import tokens
from gateway import routes
from gateway.app import ANONYMOUS_BODY_MAX, App
from tests.gateway import cash
from tests.gateway.conftest import Answer, Client, Db
from tests.gateway.people import program
from tests.gateway.test_tenancy import ALIAS, MAKE, World, rows
from web.problem import JSON
from web.routing import Route

# Fits what somebody without a credential may say, and no reader of JSON goes so deep.
DEEP: Final = b"[" * 8_000 + b"]" * 8_000
BODY_LIMIT: Final = 1 << 20
# Names in paths that are words of ours, or of what is not made here.
WORDS: Final = {
    "channel": "email",
    "language": "en",
    "name": "sign_in_code",
    "purpose": "news",
    "provider": "google",
    "kind": "award",
    "glass_id": "bgl_x",
    "letter_id": "x",
}
# What no client says of anything, unless it is named here: who it belongs to, what it may do, and
# what we make of it.
FRUIT: Final = frozenset(
    {
        *("id", "program_id", "member_id", "role", "scope", "scopes", "is_platform"),
        *("balance", "sequence", "created_at", "updated_at", "deleted_at", "verified_at"),
        *("password_hash", "hash", "prefix", "created_by", "approved_by"),
    }
)
MEANT: Final = {
    *(("create_api_key", "scopes"), ("change_api_key", "scopes")),
    *(("create_operator", "role"), ("change_operator", "role")),
    *((name, "password_hash") for name in ("create_member", "create_members", "create_customer")),
    ("open_break_glass", "program_id"),
}
# How something stands is for those to say who work on it.
OF_OPERATORS: Final = frozenset({"state", "status"})
# A body whose fields depend on one of them.
TAGS: Final = {"create_payout_method": {"kind": "upi"}}
# Callers who prove themselves by a signature, once they were set up, and write what they like.
SIGNED: Final = "/webhooks/"
_numbers: Final = itertools.count()


def with_bodies() -> Iterator[Route]:
    for route in routes.ROUTES:
        if route.body is not None and route.body_type == JSON and SIGNED not in route.path:
            yield route


def with_files() -> list[Route]:
    """Those that take a file from somebody with a credential."""
    return [one for one in routes.ROUTES if one.scope and one.body and one.body_type != JSON]


class Asking(NamedTuple):
    """Who asks, by what a route wants, and about what."""

    anybody: Client
    member: Client
    app: Client
    admin: Client
    ids: dict[str, str]

    async def send(self, route: Route, body: object) -> Answer:
        wanted = None if route.scope is None else set(route.scope.split())
        if wanted is None:
            caller = self.anybody
        elif tokens.PLATFORM in wanted:
            caller = self.admin
        else:
            caller = self.member if "me" in wanted else self.app
        path = route.path.format(**self.ids)
        key, kind = f"b{next(_numbers)}", route.body_type
        return await caller.call(route.method, path, body, Idempotency_Key=key, Content_Type=kind)


@pytest.fixture
async def asking(client: Client, staff: Client, app: App, db: Db) -> AsyncIterator[Asking]:
    """Who changes nothing by all that is asked."""
    world = World(app, client, db)
    ids = {name: await make(world) for name, make in MAKE.items()}
    member = await cash.person(client, app)
    named = {"Stampgate-Program": program(client)}
    anybody = Client(client.session, client.url, named)
    admin = Client(client.session, client.url, {**staff.headers, **named})
    before = await rows(db)
    yield Asking(anybody, member.client, client, admin, WORDS | ids)
    assert await rows(db) == before


def too_large(route: Route) -> bytes:
    """One byte more than the route takes."""
    limit = route.body_limit or (BODY_LIMIT if route.scope else ANONYMOUS_BODY_MAX)
    return b'"' + b"x" * limit


async def test_every_route_refuses_a_bad_body_for_what_is_wrong_with_it(asking: Asking) -> None:
    """Too large, too deep, no UTF-8, and one field too many: mass assignment. What is said of it is
    said by `problem.decode` alone, so no route has a reader of its own, to whom a key that stands
    twice could mean something else.
    """
    wrong = []
    for route in with_bodies():
        more = TAGS.get(route.name, {}) | {"is_admin": True}
        for body, status, code, said in (
            (too_large(route), 413, "body_too_large", ""),
            (DEEP, 400, "invalid_json", "The body is nested too deeply."),
            (b'{"\xff": 1}', 400, "invalid_json", "The body is not UTF-8."),
            (more, 422, "invalid_request", "unknown field `is_admin`"),
        ):
            answer = await asking.send(route, body)
            is_said = said in answer.body["detail"]
            if (answer.status, answer.code, is_said) != (status, code, True):
                wrong.append((route.name, code, answer.body))
    for route in with_files():
        answer = await asking.send(route, too_large(route))
        if (answer.status, answer.code) != (413, "body_too_large"):
            wrong.append((route.name, "body_too_large", answer.body))
    assert wrong == []


async def test_no_shared_cache_keeps_an_answer_to_a_credential(asking: Asking) -> None:
    """Nor does anybody's, if it has a secret in it, which no tag is made of either."""
    wrong, read = [], 0
    for route in routes.ROUTES:
        if route.method != "GET" or route.scope is None:
            continue
        answer = await asking.send(route, None)
        kept, is_tagged = answer.headers["Cache-Control"], "ETag" in answer.headers
        read += answer.status == 200
        if not (kept == "no-store" or (kept == "private, no-cache" and not route.is_secret)):
            wrong.append((route.name, kept))
        if is_tagged and (route.is_secret or kept == "no-store"):
            wrong.append((route.name, "tag"))
    assert wrong == []
    assert read > 60, "most are answered"


def shapes(route: Route) -> dict[str, Any]:
    """The objects of a body, at any depth, by the names of their types."""
    (_,), components = msgspec.json.schema_components([route.body], ref_template="{name}")
    return {name: one for name, one in components.items() if one.get("type") == "object"}


def test_no_body_sets_what_is_not_the_callers_to_set() -> None:
    """Read-only fields are no fields of a body. Whoever adds one of these means it."""
    found = set()
    for route in with_bodies():
        of_operators = {*tokens.SCOPES}.intersection((route.scope or "").split())
        names = FRUIT if of_operators else FRUIT | OF_OPERATORS
        for shape in shapes(route).values():
            taken = names & shape.get("properties", {}).keys()
            found |= {(ALIAS.sub("", route.name), name) for name in taken}
    assert found == MEANT


#: Made by browsers, which add to it as they like: `PushSubscription.toJSON()`.
OF_BROWSERS: Final = {"Browser", "Keys"}


def test_every_body_refuses_what_it_does_not_know_at_any_depth() -> None:
    """So that a field can be added later without a client having sent it before."""
    lax = [
        (route.name, name)
        for route in with_bodies()
        for name, shape in shapes(route).items()
        if "properties" in shape and shape.get("additionalProperties") is not False
    ]
    assert {name for _, name in lax} <= OF_BROWSERS, lax
