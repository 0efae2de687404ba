"""A field key goes: everything comes under the next one in the background, and who could sign in
still can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core import contacts as contacts_
from core import errors, keyring
from core.settings import Settings
from db import audit_chain, contacts, operators, pg, resealing
from deploy import cli
from deploy.local.postgres import DatabaseUrls
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import RING, Client, Db, running
from tests.gateway.test_mfa import Phone
from workers.reseal import Resealer

EMAIL = contacts_.email("asha@example.com")
OLD = RING.active_field
NOW_MS = 1_800_000_000_000


@pytest.fixture
def chosen(settings: Settings, database: DatabaseUrls) -> Settings:
    """What the commands are given."""
    return Settings(
        database_url=database.app,
        migrate_url=database.migrate,
        redis_url=settings.redis_url,
        queue_url=settings.queue_url,
        keyring_file=settings.keyring_file,
    )


async def command(chosen: Settings, *arguments: str) -> None:
    parsed = cli.parser().parse_args(arguments)
    assert await parsed.run(chosen, parsed) == 0


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[pg.Pool]:
    async with pg.open_pool(settings) as opened:
        yield opened


def ring_of(settings: Settings) -> keyring.KeyRing:
    return keyring.parse(Path(settings.keyring_file).read_bytes())


async def resealed(settings: Settings, pool: pg.Pool) -> None:
    """What a worker does that was started after the rotation."""
    resealer = Resealer(Path(settings.keyring_file), pool)
    while await resealer.step(NOW_MS):
        pass
    async with pool.acquire() as db, db.transaction():
        await audit_chain.seal(db, ring_of(settings))


async def until_read(app: App, settings: Settings) -> None:
    """A running process looks at the file twice a second; workers take longer to be restarted."""
    async with asyncio.timeout(5):
        while ring_of(settings).active_field not in app.ring.field:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)


async def test_a_key_is_rotated_and_retired_and_everybody_signs_in(
    client: Client, app: App, settings: Settings, chosen: Settings, pool: pg.Pool, db: Db
) -> None:
    program_id = people.program(client)
    await people.member(client, app, phone="+4930123456")
    await people.operator(app, program_id=program_id)
    signed_in = people.holding(client, (await people.log_in(client, program_id)).body)
    begun = (await signed_in.post("/v1/auth/mfa/totp/enroll", None)).body
    phone = Phone(app, begun["secret"])
    confirmed = await signed_in.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    await command(chosen, "keys", "rotate", "field")
    with pytest.raises(errors.BadKeyRing, match="still needed"):
        await command(chosen, "keys", "retire", "field", OLD)
    # Whoever signs in meanwhile is found, wherever it is and however far the change is.
    async with running(settings) as (_, url):
        replaced = Client(client.session, url, client.headers)
        for caller in (client, replaced):
            assert (await people.log_in(caller, program_id)).body["outcome"] == "second_factor"
            assert (await people.log_in_operator(caller)).status == 200
        await until_read(app, settings)
        await db.execute("DELETE FROM idempotency")
        await resealed(settings, pool)
        assert {use.key for use in await resealing.used(db)} == {ring_of(settings).active_field}
        for caller in (client, replaced):
            assert (await people.log_in(caller, program_id)).status == 200
        await command(chosen, "keys", "retire", "field", OLD)
        async with asyncio.timeout(5):
            while OLD in app.ring.field:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.05)
        for caller, second in (
            (client, phone.code(0)),
            (replaced, confirmed.body["recovery_codes"][0]),
        ):
            answer = await people.log_in(caller, program_id)
            completed = await caller.post(
                "/v1/auth/mfa",
                {"mfa_token": answer.body["mfa_token"], "code": second},
                Authorization=None,
            )
            assert completed.status == 200
            assert (await people.log_in_operator(caller)).status == 200
            me = (await people.holding(client, completed.body).get("/v1/me")).body
            assert [one["address"] for one in me["contacts"]] == [EMAIL.address, "+4930123456"]


async def test_a_contact_stays_one_members_while_keys_are_rotated(
    client: Client, app: App, settings: Settings, chosen: Settings, pool: pg.Pool
) -> None:
    """Between a process that stores under the old key, and one that does so under the new one."""
    await command(chosen, "keys", "rotate", "field")
    program_id = people.program(client)
    first, second = [
        (await client.post("/v1/members", {"name": name})).body["id"] for name in ("Asha", "Ben")
    ]
    await until_read(app, settings)
    before, after = app.ring, ring_of(settings)
    assert before.active_field != after.active_field

    async def put(ring: keyring.KeyRing, member_id: str, *, is_verified: bool = False) -> str:
        try:
            async with pool.acquire() as db, db.transaction():
                await contacts.put(db, ring, program_id, member_id, EMAIL, is_verified=is_verified)
                await asyncio.sleep(0.05)
        except errors.ContactTaken:
            return "taken"
        return "stored"

    raced = await asyncio.gather(put(before, first), put(after, second))
    assert sorted(raced) == ["stored", "taken"]
    owner = first if raced[0] == "stored" else second
    bulk = await client.post("/v1/members/bulk", {"items": [{"email": EMAIL.address}]})
    assert bulk.body["data"][0]["error"]["code"] == "contact_taken"
    # The same contact under another hash is no other contact: it stays proved.
    assert await put(before, owner, is_verified=True) == "stored"
    assert await put(after, owner) == "stored"
    async with pool.acquire() as db:
        [found] = await contacts.of_member(db, after, program_id, owner)
    assert found.verified_at is not None


async def test_an_operators_address_stays_one_operators_meanwhile(
    app: App, settings: Settings, chosen: Settings, pool: pg.Pool
) -> None:
    await people.operator(app, role="admin", email=EMAIL.address)
    await command(chosen, "keys", "rotate", "field")
    with pytest.raises(errors.ContactTaken):
        async with pool.acquire() as db, db.transaction():
            await operators.add(
                db,
                ring_of(settings),
                app.new_id("operator"),
                program_id=None,
                role="admin",
                email=EMAIL,
                name="Olga",
            )


async def test_whoever_was_stored_under_an_older_spelling_signs_in_again(
    client: Client,
    app: App,
    chosen: Settings,
    pool: pg.Pool,
    db: Db,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program_id = people.program(client)
    asha, bela = [await people.member(client, app, email=f"{name}@tea.example") for name in "ab"]
    async with pool.acquire() as connection, connection.transaction():
        for member_id, address in ((asha, "u@xn--bcher-kva.example"), (bela, "u@bücher.example")):
            contact = contacts_.Contact("email", address)
            await contacts.put(connection, RING, program_id, member_id, contact, is_verified=True)
    await command(chosen, "keys", "reseal")
    assert f"{asha} keeps a mail address" in capsys.readouterr().out
    assert (await client.delete(f"/v1/members/{bela}")).status == 204
    assert (await people.log_in(client, program_id, email="u@bücher.example")).status == 401
    await command(chosen, "keys", "reseal")
    assert "1 mail addresses brought to their present spelling" in capsys.readouterr().out
    assert (await people.log_in(client, program_id, email="u@bücher.example")).status == 200
    entries = await db.fetch(
        "SELECT after->>'respelled', after->>'left_to_others' FROM audit_entry"
        " WHERE action = 'key.reseal' ORDER BY id"
    )
    assert [tuple(one) for one in entries] == [("0", "1"), ("1", "0")]
