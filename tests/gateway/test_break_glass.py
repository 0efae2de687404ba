"""The platform's staff: held to networks and a second factor, and let into programs loudly."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from core import roles, tokens
from core.settings import Settings
from gateway import revocations
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import RING, Answer, Client, Db, bearer, running, token

REASON = "a member cannot sign in, ticket 17"
PATH = "/v1/admin/break-glass"
NOBODYS = "bgl_01h455vb4pex5vsknk084sn02q"
# An admin's way through a proxy of ours, from 192.0.2.0/24 or not.
FORWARDED = {
    "192.0.2.7": 200,
    "::ffff:192.0.2.7": 200,
    "[::ffff:c000:207]:4711": 200,
    "::ffff:198.51.100.7": 403,
    "2001:db8::c000:207": 403,
    "64:ff9b::c000:207": 403,
    # What was written before our proxy's entry is anybody's.
    "192.0.2.7, 198.51.100.7": 403,
    "192.0.2.7, unknown": 403,
}


def admin(client: Client, *, has_second_factor: bool = True, session: str = "ses_a") -> Client:
    """An admin with a session."""
    text = tokens.issue(
        RING,
        program_id=None,
        subject="opr_admin",
        scopes=roles.SCOPES_OF["admin"],
        now_s=int(time.time()),
        ttl_s=600,
        token_id="tok_a",
        role="admin",
        session_id=session,
        has_second_factor=has_second_factor,
    )
    return Client(client.session, client.url, bearer(text))


async def broken(caller: Client, program_id: str, **fields: Any) -> Any:
    body = {"program_id": program_id, "reason": REASON, **fields}
    answer = await caller.post(PATH, body)
    assert answer.status == 201, answer
    return answer.body


def inside(caller: Client, glass: Any) -> Client:
    return Client(caller.session, caller.url, bearer(glass["access_token"]))


def opened() -> float:
    return REGISTRY.get_sample_value("stampgate_break_glass_total", {"event": "opened"}) or 0.0


async def test_an_admin_gets_at_a_programs_data_only_by_breaking_the_glass(client: Client) -> None:
    caller, program_id = admin(client), people.program(client)
    await client.post("/v1/members", {"name": "Asha"})
    refused = await caller.get("/v1/members", Stampgate_Program=program_id)
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert (
        await caller.get(f"/v1/programs/{program_id}", Stampgate_Program=program_id)
    ).status == 200
    glass = await broken(caller, program_id)
    let_in = inside(caller, glass)
    assert [one["name"] for one in (await let_in.get("/v1/members")).body["data"]] == ["Asha"]
    # Neither the platform's own, nor what would outlast the hour.
    for path in ("/v1/programs", PATH, "/v1/admin/audit"):
        assert (await let_in.get(path)).code == "insufficient_scope"
    body = {"name": "x", "scopes": ["members:read"]}
    assert (await let_in.post("/v1/api-keys", body)).code == "insufficient_scope"


async def test_the_access_is_to_one_program(client: Client, other: Client) -> None:
    let_in = inside(client, await broken(admin(client), people.program(client)))
    refused = await let_in.get("/v1/members", Stampgate_Program=people.program(other))
    assert (refused.status, refused.code) == (403, "forbidden")


async def test_everybody_hears_of_it(
    client: Client, app: App, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    program_id = people.program(client)
    owner_id = await people.operator(app, program_id=program_id)
    await people.operator(app, program_id=program_id, role="staff", email="staff@example.com")
    german = await people.operator(app, program_id=program_id, email="olga@example.de")
    path = f"/v1/operators/{german}"
    assert (await client.patch(path, {"language": "de"})).body["language"] == "de"
    before = opened()
    with caplog.at_level(logging.WARNING):
        glass = await broken(admin(client), program_id, minutes=5)
    assert opened() == before + 1
    assert f"break-glass {glass['id']}: opr_admin into {program_id}" in caplog.text
    assert REASON not in caplog.text
    told = await db.fetch(
        "SELECT recipient_id, template, language FROM notification ORDER BY 3 DESC"
    )
    assert [tuple(row) for row in told] == [
        (owner_id, "break_glass", "en"),
        (german, "break_glass", "de"),
    ]
    entries = await db.fetch(
        "SELECT program_id, actor, actor_role, after->>'reason' AS reason FROM audit_entry"
        " WHERE action = 'break_glass.open' ORDER BY program_id"
    )
    assert [tuple(row) for row in entries] == [
        ("", "opr_admin", "admin", REASON),
        (program_id, "opr_admin", "admin", REASON),
    ]
    listed = (await admin(client).get(PATH)).body["data"]
    assert [(one["id"], one["reason"], one["ended_at"]) for one in listed] == [
        (glass["id"], REASON, None)
    ]


async def test_an_access_that_was_ended_opens_nothing(client: Client, db: Db) -> None:
    caller = admin(client)
    glass = await broken(caller, people.program(client))
    let_in = inside(client, glass)
    assert (await let_in.get("/v1/members")).status == 200
    assert (await admin(client, session="ses_b").delete(f"{PATH}/{glass['id']}")).status == 204
    refused = await let_in.get("/v1/members")
    assert (refused.status, refused.code) == (401, "token_revoked")
    # Also for processes that no announcement reaches.
    until = await db.fetchval("SELECT until FROM revocation WHERE id = $1", glass["id"])
    assert until.timestamp() > people.claims(glass["access_token"])["exp"] + tokens.LEEWAY_S
    assert (await caller.get("/v1/programs")).status == 200
    for glass_id in (glass["id"], NOBODYS, "x"):
        again = await caller.delete(f"{PATH}/{glass_id}")
        assert (again.status, again.code) == (404, "break_glass_not_found")
    assert (
        await db.fetchval("SELECT count(*) FROM audit_entry WHERE action = 'break_glass.end'") == 2
    )


async def test_an_access_ends_with_the_admins_session(client: Client, app: App) -> None:
    let_in = inside(client, await broken(admin(client, session="ses_c"), people.program(client)))
    await app.revocations.announce(["ses_c"], int(time.time()) + 600)
    assert (await let_in.get("/v1/members")).code == "token_revoked"


async def test_an_access_stays_ended_when_the_other_tokens_of_the_session_have_expired(
    client: Client, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is good for longer than they are, and so is the note that it is void."""
    await people.operator(app, role="admin", email="admin@example.com")
    grant = (await people.log_in_operator(client, email="admin@example.com")).body
    glass = await broken(admin(client, session=grant["session_id"]), people.program(client))
    assert glass["expires_in"] > 2 * grant["expires_in"]
    assert (await people.holding(client, grant).post("/v1/auth/logout", None)).status == 204
    late_s = time.time() + glass["expires_in"] - 60
    monkeypatch.setattr(App, "now_ms", staticmethod(lambda: int(1000 * late_s)))
    clock = SimpleNamespace(time=lambda: late_s, monotonic=time.monotonic, time_ns=time.time_ns)
    monkeypatch.setattr(revocations, "time", clock)
    await app.revocations.read_rows()
    assert (await inside(client, glass).get("/v1/members")).code == "token_revoked"


async def test_an_access_is_over_when_its_time_is(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    glass = await broken(admin(client), people.program(client), minutes=5)
    let_in, said = inside(client, glass), people.claims(glass["access_token"])
    assert said["exp"] - said["iat"] == glass["expires_in"] == 300
    answers = []
    for late_s in (-1, tokens.LEEWAY_S - 1, tokens.LEEWAY_S):
        now_ms = 1000 * (said["exp"] + late_s)
        monkeypatch.setattr(App, "now_ms", staticmethod(lambda now_ms=now_ms: now_ms))
        answers.append(await let_in.get("/v1/members"))
    assert [answer.status for answer in answers] == [200, 200, 401]
    assert answers[-1].code == "token_expired"


async def test_each_call_behind_the_glass_is_in_both_logs(client: Client, db: Db) -> None:
    """Reads too, as the mail to the owners promises; of what was asked for, ids and no more."""
    member, program_id = (await client.post("/v1/members", {})).body["id"], people.program(client)
    glass = await broken(admin(client), program_id)
    let_in = inside(client, glass)
    assert (await let_in.get("/v1/members?external_id=asha%40example.com")).status == 200
    assert (await let_in.get(f"/v1/members/{member}")).status == 200
    assert (await let_in.get("/v1/members/asha@example.com")).status == 404
    assert (await award(let_in, member, "a")).status == 201
    entries = await db.fetch(
        "SELECT program_id, after->>'route', after->>'member_id', actor, object_id"
        "  FROM audit_entry WHERE action = 'break_glass.use'"
    )
    asked = [("create_award", None), ("get_member", member), ("get_member", "***"),
             ("list_members", None)]  # fmt: skip
    who = "opr_admin", glass["id"]
    wanted = [(log, *one, *who) for log in ("", program_id) for one in asked]
    assert sorted(map(tuple, entries), key=str) == sorted(wanted, key=str)


async def test_what_an_admin_reads_is_in_the_installations_log(client: Client, db: Db) -> None:
    caller, program_id = admin(client), people.program(client)
    for path in (f"/v1/programs/{program_id}", "/v1/audit", "/v1/limits", "/v1/sessions"):
        assert (await caller.get(path, Stampgate_Program=program_id)).status == 200
    entries = await db.fetch(
        "SELECT program_id, object_id, after->>'route' FROM audit_entry WHERE action = 'admin.read'"
    )
    # What is an admin's own is not the log's business.
    routes = ("get_program", "list_audit_entries")
    assert sorted(map(tuple, entries)) == [("", program_id, route) for route in routes]


async def test_an_admin_who_does_nothing_for_an_hour_signs_in_anew(
    client: Client, app: App, db: Db
) -> None:
    await people.operator(app, role="admin", email="admin@example.com")
    await people.operator(app, program_id=people.program(client))
    held = [
        (await people.log_in_operator(client, email=email)).body["refresh_token"]
        for email in ("admin@example.com", "owner@example.com")
    ]
    idle = "UPDATE session SET expires_at = expires_at - make_interval(mins => $1)"
    # Who comes back in time has another hour.
    for _ in range(2):
        await db.execute(idle, 59)
        answers = [await people.refresh(client, one) for one in held]
        assert [answer.status for answer in answers] == [200, 200]
        held = [answer.body["refresh_token"] for answer in answers]
    await db.execute(idle, 61)
    rested, owner = [await people.refresh(client, one) for one in held]
    assert (rested.status, rested.code, owner.status) == (401, "token_expired", 200)


async def test_no_setting_gives_an_admin_more_than_an_hour(
    client: Client, app: App, settings: Settings
) -> None:
    """Who used an access token of a day would not be seen to rest."""
    await people.operator(app, role="admin", email="admin@example.com")
    await people.operator(app, program_id=people.program(client))
    day = msgspec.structs.replace(settings, access_ttl_s=86_400)
    async with running(day) as (_, url):
        elsewhere = Client(client.session, url, {})
        for email, ttl_s in (("admin@example.com", 3_600), ("owner@example.com", 86_400)):
            grant = (await people.log_in_operator(elsewhere, email=email)).body
            said = people.claims(grant["access_token"])
            assert said["exp"] - said["iat"] == grant["expires_in"] == ttl_s


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": None},
        {"reason": "short"},
        {"reason": "x" * 501},
        {"reason": "one line\nand another"},
        {"minutes": 0},
        {"minutes": 61},
        {"scopes": ["keys:write"]},
    ],
)
async def test_without_a_reason_or_for_longer_nobody_is_let_in(
    client: Client, db: Db, fields: dict[str, Any]
) -> None:
    body = {"program_id": people.program(client), "reason": REASON, **fields}
    refused = await admin(client).post(PATH, body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await db.fetchval("SELECT count(*) FROM break_glass") == 0


async def test_only_a_person_breaks_the_glass(client: Client, staff: Client) -> None:
    body = {"program_id": people.program(client), "reason": REASON}
    refused = await staff.post(PATH, body)
    assert (refused.status, refused.code) == (403, "forbidden")
    missing = await admin(client).post(PATH, {**body, "program_id": "prg_x"})
    assert (missing.status, missing.code) == (404, "program_not_found")


async def test_an_admin_without_a_second_factor_can_only_see_to_that(
    client: Client, app: App
) -> None:
    await people.operator(app, role="admin", email="admin@example.com")
    grant = (await people.log_in_operator(client, email="admin@example.com")).body
    caller = people.holding(client, grant)
    for path in ("/v1/programs", "/v1/operators", PATH):
        refused = await caller.get(path)
        assert (refused.status, refused.code) == (403, "second_factor_required")
    for path in ("/v1/me", "/v1/sessions"):
        assert (await caller.get(path)).status == 200
    assert (await admin(client).get("/v1/programs")).status == 200


async def award(caller: Client, member: str, key: str, **headers: str) -> Answer:
    body = {"member": member, "kind": "points", "amount": 1}
    return await caller.post("/v1/awards", body, Idempotency_Key=key, **headers)


async def test_the_platforms_staff_come_from_its_networks_alone(
    client: Client, settings: Settings
) -> None:
    program_id = people.program(client)
    member = (await client.post("/v1/members", {})).body["id"]
    elsewhere = msgspec.structs.replace(
        settings, admin_networks="192.0.2.0/24", trusted_proxies="127.0.0.1"
    )
    async with running(elsewhere) as (_, url):
        moved = Client(client.session, url, client.headers)
        root = Client(client.session, url, bearer(token(None)))
        for caller in (admin(moved), root):
            refused = await caller.get("/v1/programs")
            assert (refused.status, refused.code) == (403, "address_not_allowed")
            for address, status in FORWARDED.items():
                answer = await caller.get("/v1/programs", X_Forwarded_For=address)
                assert (address, answer.status) == (address, status)
        # In both lanes, also when the program is in memory.
        for key in ("a", "b"):
            refused = await award(root, member, key, Stampgate_Program=program_id)
            assert (refused.status, refused.code) == (403, "address_not_allowed")
            assert (await award(moved, member, key)).status == 201
