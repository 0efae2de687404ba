"""Every route asked by every role: exactly those get in whom the table names."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

import pytest

from core import roles, tokens
from core.roles import Role
from gateway import routes
from tests.gateway import permissions
from tests.gateway.conftest import RING, Answer, Client, bearer
from tests.gateway.people import program
from web.routing import Route

PERSONS: Final[tuple[Role, ...]] = ("member", "staff", "owner", "admin")
OF_PROGRAMS: Final = frozenset(tokens.SCOPES) - {tokens.PLATFORM}
# What a caller is told who may not use a route, whoever it is.
SHUT_OUT: Final = {
    *("unauthorized", "token_invalid", "token_expired", "token_revoked"),
    *("api_key_invalid", "api_key_expired", "insufficient_scope", "second_factor_required"),
    *("address_not_allowed", "forbidden"),
}
# Nobody has this id, or any other with this number.
NOBODYS: Final = "01h455vb4pex5vsknk084sn02q"
_numbers: Final = itertools.count()


class Asking(NamedTuple):
    """A kind of caller: its scopes, and whether it belongs to a program."""

    name: str
    role: Role
    scopes: frozenset[str]
    is_of_program: bool = True


CALLERS: Final = (
    *(Asking(role, role, roles.SCOPES_OF[role], role != "admin") for role in PERSONS),
    Asking("app", "app", OF_PROGRAMS),
    Asking("app without scopes", "app", frozenset()),
    Asking("platform", "app", frozenset({tokens.PLATFORM}), is_of_program=False),
    # A program's own credential is never the platform's, whatever it says.
    Asking("sly app", "app", frozenset(tokens.SCOPES)),
)


def may(asking: Asking, scope: str) -> bool:
    """Whether the route table and the roles let this caller in."""
    wanted = set(scope.split())
    if asking.name == "platform":
        return not wanted.issubset(tokens.OWN)
    if asking.is_of_program:
        wanted.discard(tokens.PLATFORM)
    return bool(wanted & asking.scopes)


def who(route: Route) -> str:
    """Who may use a route, by what the code says."""
    if route.scope is None:
        return "anyone"
    wanted = set(route.scope.split())
    let_in: list[str] = [
        role
        for role in PERSONS
        if wanted & (roles.SCOPES_OF[role] - ({tokens.PLATFORM} if role != "admin" else set()))
    ]
    return " ".join([*let_in, *(["app"] if wanted & OF_PROGRAMS else [])])


def line(name: str, scope: str | None, let_in: str) -> str:
    """A line of the table."""
    return f"{name} | {scope_text(scope)} | {let_in}"


def scope_text(scope: str | None) -> str:
    """A scope as the table has it: `any` for all that a credential may carry."""
    if scope is None:
        return "-"
    return "any" if set(scope.split()) == OF_PROGRAMS | {*tokens.OWN} else scope


def test_the_table_of_permissions_is_what_the_routes_say() -> None:
    said = {route.name: (scope_text(route.scope), who(route)) for route in routes.ROUTES}
    written = permissions.rows()
    differing = [
        f"{name} | {said[name][0]} | {said[name][1]}"
        for name in said
        if written.get(name) != said[name]
    ]
    gone = sorted(written.keys() - said.keys())
    assert (differing, gone) == ([], []), "\n".join(["Write in permissions.py:", *differing])


def test_no_route_that_changes_something_is_read_by_a_reader() -> None:
    readers = [
        route.name
        for route in routes.ROUTES
        if route.method != "GET" and route.scope is not None and route.scope.endswith(":read")
    ]
    assert readers == []


def test_what_stands_under_admin_is_the_platforms() -> None:
    # What is a program's own there stands where the design puts it.
    own = ("solvency", "fraud", "reclassifications", "claims")
    admin = [
        route
        for route in routes.ROUTES
        if route.path.startswith("/v1/admin/") and route.path.split("/")[3] not in own
    ]
    assert admin
    assert {route.scope for route in admin} == {tokens.PLATFORM}


def caller(asking: Asking, base: Client) -> Client:
    """A caller of this kind that nobody has met; a new one each time, should it log itself out."""
    prefix = "mem" if asking.role == "member" else "opr"
    text = tokens.issue(
        RING,
        program_id=program(base) if asking.is_of_program else None,
        subject=f"{prefix}_{NOBODYS[:-5]}{next(_numbers):05d}",
        scopes=asking.scopes,
        now_s=int(time.time()),
        ttl_s=600,
        token_id="tok_test",
        role=asking.role,
        has_second_factor=True,
        rate_per_minute=0,
    )
    headers = bearer(text)
    if not asking.is_of_program:
        headers["Stampgate-Program"] = program(base)
    return Client(base.session, base.url, headers)


def own_program(client: Client) -> str:
    """The program that a caller names, or belongs to; for a stranger one that nobody has."""
    if "Stampgate-Program" in client.headers:
        return client.headers["Stampgate-Program"]
    return program(client) if client.headers else NOBODYS


async def ask(client: Client, route: Route) -> Answer:
    """Ask with an empty body, and ids that nobody has, but for the caller's own program where a
    path of the original designs names it.
    """
    path = route.path.replace("{business_id}", own_program(client))
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", NOBODYS)
    body: object = None if route.method == "GET" else {}
    return await client.call(
        route.method, path, body, Idempotency_Key=f"k{next(_numbers)}", Content_Type=route.body_type
    )


def is_let_in(answer: Answer) -> bool:
    return not (answer.status in {401, 403} and answer.code in SHUT_OUT)


def scoped() -> Iterable[Route]:
    return [route for route in routes.ROUTES if route.scope is not None]


@pytest.mark.parametrize("asking", CALLERS, ids=lambda asking: asking.name)
async def test_a_caller_is_let_in_where_the_table_says(client: Client, asking: Asking) -> None:
    wrong = []
    for route in scoped():
        assert route.scope is not None
        answer = await ask(caller(asking, client), route)
        assert answer.status < 500 or answer.code in {"unavailable", "not_open"}, route.name
        if is_let_in(answer) is not may(asking, route.scope):
            wrong.append((route.name, answer.status, answer.body))
        elif not is_let_in(answer):
            assert (answer.status, answer.code) == (403, "insufficient_scope"), route.name
    assert wrong == []


async def test_each_scope_alone_opens_its_own_routes(client: Client) -> None:
    wrong = []
    for scope in sorted(OF_PROGRAMS):
        asking = Asking(scope, "app", frozenset({scope}))
        for route in scoped():
            assert route.scope is not None
            if is_let_in(await ask(caller(asking, client), route)) is not may(asking, route.scope):
                wrong.append((scope, route.name))
    assert wrong == []


async def test_without_a_credential_only_the_open_routes_are_open(client: Client) -> None:
    stranger = Client(client.session, client.url, {})
    wrong = []
    for route in routes.ROUTES:
        answer = await ask(stranger, route)
        if route.scope is None:
            is_right = answer.status != 403 and not (
                answer.status == 401 and answer.code in SHUT_OUT - {"unauthorized"}
            )
        else:
            is_right = (answer.status, answer.code) == (401, "unauthorized")
        if not is_right:
            wrong.append((route.name, answer.status, answer.body))
    assert wrong == []
