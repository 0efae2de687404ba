"""Members link providers and unlink them."""

from __future__ import annotations

from typing import Any

import aiohttp

from core import tokens
from core.providers.social import flow
from tests.gateway.conftest import Client, Db, Enter, bearer, token
from tests.gateway.social.browsers import Attempt, Browser
from tests.gateway.social.conftest import (
    Begin,
    identities_of,
    listed,
    subject_of,
)
from tests.providers.google import Google
from tests.providers.server import Server


async def linked(member: Client, attempt: Attempt, **changes: str) -> Any:
    body = {"code": await attempt.code(), "code_verifier": attempt.verifier, **changes}
    return await member.post(f"/v1/me/identities/{attempt.provider}", body)


async def test_a_member_links_and_unlinks(begin: Begin, db: Db) -> None:
    member = await begin().member()
    answer = await linked(member, begin("spotify"))
    assert answer.status == 201
    assert (answer.body["provider"], answer.body["mail"]) == ("spotify", "asha@example.test")
    assert await identities_of(member) == ["google", "spotify"]
    again = await begin("spotify").member()
    assert await subject_of(again) == await subject_of(member)
    assert (await member.delete("/v1/me/identities/spotify")).status == 204
    assert await identities_of(member) == ["google"]
    gone = await member.delete("/v1/me/identities/spotify")
    assert (gone.status, gone.code) == (404, "identity_not_found")
    actions = [row[0] for row in await db.fetch("SELECT action FROM audit_entry ORDER BY at, id")]
    for action in ("member.create", "identity.link", "identity.unlink"):
        assert action in actions
    # Should it not have been the member, the member's mailbox hears of it.
    told = await db.fetch("SELECT template, recipient_id FROM notification")
    assert [tuple(row) for row in told] == [("sign_in_added", await subject_of(member))]


async def test_the_last_way_to_sign_in_is_not_unlinked(begin: Begin) -> None:
    member = await begin("facebook").member()
    refused = await member.delete("/v1/me/identities/facebook")
    assert (refused.status, refused.code) == (409, "last_sign_in_way")
    assert await identities_of(member) == ["facebook"]
    await linked(member, begin())
    assert (await member.delete("/v1/me/identities/facebook")).status == 204
    refused = await member.delete("/v1/me/identities/google")
    assert (refused.status, refused.code) == (409, "last_sign_in_way")


async def test_an_identity_of_another_member_is_not_linked(begin: Begin, google: Google) -> None:
    await begin("spotify").member()
    google.person.mail = None
    member = await begin().member()
    refused = await linked(member, begin("spotify"))
    assert (refused.status, refused.code) == (409, "identity_taken")


async def test_a_second_identity_of_a_provider_is_not_linked(begin: Begin, google: Google) -> None:
    member = await begin().member()
    google.person.id = "another-subject"
    refused = await linked(member, begin())
    assert (refused.status, refused.code) == (409, "provider_already_linked")


async def test_a_code_of_another_provider_program_or_app_does_not_link(
    begin: Begin, enter: Enter, staff: Client
) -> None:
    member = await begin().member()
    await enter()
    there = begin("spotify", program_id=await listed(staff))
    spotify = begin("spotify")
    body = {"code": await spotify.code(), "code_verifier": spotify.verifier}
    for answer in (
        await linked(member, there),
        await member.post("/v1/me/identities/facebook", body),
        await linked(member, begin("spotify"), code_verifier=flow.secret(b"x" * 32)),
        await linked(member, begin("spotify"), code=flow.secret(b"x" * 32)),
    ):
        assert (answer.status, answer.code) == (400, "sign_in_code_invalid")
    assert await identities_of(member) == ["google"]


async def test_only_members_have_identities(
    begin: Begin, program: str, session: aiohttp.ClientSession, browser: Browser
) -> None:
    app = Client(session, browser.gateway, bearer(token(program, tokens.SCOPES)))
    nobody = Client(session, browser.gateway, {})
    spotify = begin("spotify")
    body = {"code": await spotify.code(), "code_verifier": spotify.verifier}
    path = "/v1/me/identities"
    for caller, status in ((app, 403), (nobody, 401)):
        assert (await caller.get(path)).status == status
        assert (await caller.post(f"{path}/spotify", body)).status == status
        assert (await caller.delete(f"{path}/spotify")).status == status
    assert (await spotify.redeem(body["code"])).status == 200


async def test_platform_connections_are_the_identities_without_their_tokens(
    begin: Begin, theirs: dict[str, Server]
) -> None:
    member = await begin("spotify").member()
    await linked(member, begin())
    tokens_of = [token for one in theirs.values() for token in one.refresh_tokens]
    assert len(tokens_of) == 2
    for path in ("/platformconnections", "/v1/platform-connections"):
        answer = await member.get(path)
        assert answer.body == (await member.get("/v1/me/identities")).body
        assert [set(one) for one in answer.body["data"]] == 2 * [
            {"provider", "mail", "linked_at", "last_used_at"}
        ]
        assert not any(token in str(answer.body) for token in tokens_of)
        assert (await member.get(path, If_None_Match=answer.headers["ETag"])).status == 304
    assert (await member.delete("/platformconnections/google")).status == 204
    assert await identities_of(member) == ["spotify"]
    gone = await member.delete("/v1/platform-connections/google")
    assert (gone.status, gone.code) == (404, "identity_not_found")
    refused = await member.delete("/v1/platform-connections/spotify")
    assert (refused.status, refused.code) == (409, "last_sign_in_way")
