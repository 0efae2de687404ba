"""Whose identity it is, and who gets one that nobody has."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest

from core import contacts, errors, ids, keyring
from core.providers.social.flow import Profile
from db import contacts as stored_contacts
from db import identities, members, pg
from db.identities import SignedIn
from db.members import NewMember
from db.sign_ins import Proof
from deploy.local.postgres import DatabaseUrls
from tests.db.conftest import PROGRAM, Db

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
MAIL = "Asha@Example.test"
ASHA = Profile(subject="1", mail=MAIL, is_mail_verified=True, name="Asha Rao")
USABLE = ("google", "spotify")
SECRETS = ("1076", "asha", "a-refresh-token")


def an_id(kind: ids.Kind, number: int) -> str:
    return ids.new(kind, 1_768_478_400_000, number.to_bytes(ids.ENTROPY_BYTES))


MEMBER, OTHER = an_id("member", 1 << 40), an_id("member", 2 << 40)


def proof(profile: Profile = ASHA, *, provider: str = "google", token: str | None = None) -> Proof:
    return Proof(
        provider=provider, program_id=PROGRAM, challenge="", profile=profile, refresh_token=token
    )


async def sign_in(db: pg.Db, given: Proof, number: int = 1) -> SignedIn:
    number <<= 40
    return await identities.sign_in(
        db, RING, given, identity_id=an_id("identity", number), member_id=an_id("member", number)
    )


async def link(db: Db, given: Proof, member_id: str, number: int = 1) -> identities.Identity:
    identity_id = an_id("identity", number << 40)
    return await identities.link(db, RING, given, identity_id=identity_id, member_id=member_id)


async def a_member(db: Db, member_id: str, *, mail: str | None = None, is_verified: bool) -> None:
    await members.add(db, RING, PROGRAM, member_id, NewMember())
    if mail is not None:
        contact = contacts.email(mail)
        await stored_contacts.put(db, RING, PROGRAM, member_id, contact, is_verified=is_verified)


async def rows(db: Db) -> int:
    found = await db.fetchval(
        "SELECT (SELECT count(*) FROM identity) + (SELECT count(*) FROM member)"
    )
    assert isinstance(found, int)
    return found


async def test_an_identity_that_nobody_has_makes_a_member(db: Db) -> None:
    assert await sign_in(db, proof()) == SignedIn(MEMBER, is_new_member=True, is_new_link=True)
    found = await stored_contacts.find(db, RING, PROGRAM, contacts.email(MAIL))
    assert found == stored_contacts.Found(MEMBER, is_verified=True)
    (identity,) = await identities.of_member(db, RING, PROGRAM, MEMBER)
    assert (identity.provider, identity.mail) == ("google", MAIL)


async def test_it_is_that_members_from_then_on_whatever_its_mail_address(db: Db) -> None:
    await sign_in(db, proof())
    moved = msgspec.structs.replace(ASHA, mail="new@example.test", is_mail_verified=False)
    assert await sign_in(db, proof(moved), 2) == SignedIn(MEMBER)
    (identity,) = await identities.of_member(db, RING, PROGRAM, MEMBER)
    assert identity.mail == "new@example.test"


async def test_it_is_found_after_the_field_key_was_rotated(db: Db) -> None:
    await sign_in(db, proof())
    rotated = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
    again = await identities.sign_in(
        db, rotated, proof(), identity_id=an_id("identity", 9), member_id=OTHER
    )
    assert again == SignedIn(MEMBER)


async def test_in_another_program_it_is_another_members(db: Db) -> None:
    await sign_in(db, proof())
    with pytest.raises(errors.ProgramNotFound):
        await sign_in(db, msgspec.structs.replace(proof(), program_id="prg_other"), 2)


async def test_a_subject_of_one_provider_is_nobody_at_another(db: Db) -> None:
    nameless = Profile(subject="1")
    await sign_in(db, proof(nameless))
    assert (await sign_in(db, proof(nameless, provider="spotify"), 2)).is_new_member


async def test_a_mail_address_that_is_verified_on_both_sides_links(db: Db) -> None:
    await a_member(db, OTHER, mail=MAIL.upper(), is_verified=True)
    assert await sign_in(db, proof()) == SignedIn(OTHER, is_new_link=True)
    assert await sign_in(db, proof()) == SignedIn(OTHER)


@pytest.mark.parametrize(
    ("is_verified_here", "is_verified_there"), [(True, False), (False, True), (False, False)]
)
async def test_otherwise_a_mail_address_that_is_taken_is_refused(
    db: Db, *, is_verified_here: bool, is_verified_there: bool
) -> None:
    await a_member(db, OTHER, mail=MAIL, is_verified=is_verified_here)
    before = await rows(db)
    asha = msgspec.structs.replace(ASHA, is_mail_verified=is_verified_there)
    with pytest.raises(errors.MailTaken):
        await sign_in(db, proof(asha))
    assert await rows(db) == before


async def test_a_mail_address_that_merely_looks_alike_opens_no_account(db: Db) -> None:
    await a_member(db, OTHER, mail="weiss@example.test", is_verified=True)
    alike = msgspec.structs.replace(ASHA, mail="wei\u00df@example.test")
    assert await sign_in(db, proof(alike)) == SignedIn(MEMBER, is_new_member=True, is_new_link=True)


async def test_a_member_who_has_another_identity_of_the_provider_gets_no_second(db: Db) -> None:
    await a_member(db, OTHER, mail=MAIL, is_verified=True)
    await link(db, proof(Profile(subject="2")), OTHER)
    with pytest.raises(errors.ProviderLinked):
        await sign_in(db, proof(), 2)


async def test_a_mail_address_that_the_provider_has_not_verified_is_not_taken_over(db: Db) -> None:
    await sign_in(db, proof(msgspec.structs.replace(ASHA, is_mail_verified=False)))
    assert await stored_contacts.find(db, RING, PROGRAM, contacts.email(MAIL)) is None


async def test_a_mail_address_that_is_none_here_is_left_out(db: Db) -> None:
    odd = msgspec.structs.replace(ASHA, mail="asha@localhost")
    assert (await sign_in(db, proof(odd))).is_new_member
    assert await db.fetchval("SELECT count(*) FROM member_contact") == 0


async def test_two_first_sign_ins_at_once_make_one_member(db: Db, pool: pg.Pool) -> None:
    async def one(number: int) -> SignedIn:
        async with pool.acquire() as own, own.transaction():
            done = await sign_in(own, proof(), number)
            await asyncio.sleep(0.05)
            return done

    done = await asyncio.gather(one(1), one(2), one(3))
    assert len({signed.member_id for signed in done}) == 1
    assert sum(signed.is_new_member for signed in done) == 1


async def test_a_deleted_member_leaves_the_identity_free(db: Db) -> None:
    await sign_in(db, proof())
    await members.delete(db, PROGRAM, MEMBER)
    await identities.forget(db, PROGRAM, MEMBER)
    await stored_contacts.delete(db, PROGRAM, MEMBER)
    assert (await sign_in(db, proof(), 2)).member_id == OTHER


async def test_an_identity_is_linked_to_its_member_alone(db: Db) -> None:
    await a_member(db, MEMBER, is_verified=False)
    await a_member(db, OTHER, is_verified=False)
    first = await link(db, proof(), MEMBER)
    again = await link(db, proof(), MEMBER, 2)
    assert (again.linked_at, again.provider) == (first.linked_at, "google")
    with pytest.raises(errors.IdentityTaken):
        await link(db, proof(), OTHER, 3)
    with pytest.raises(errors.ProviderLinked):
        await link(db, proof(Profile(subject="2")), MEMBER, 4)
    with pytest.raises(errors.MemberNotFound):
        await link(db, proof(Profile(subject="3")), an_id("member", 9 << 40), 5)


async def test_linking_takes_no_mail_address(db: Db) -> None:
    await a_member(db, OTHER, mail=MAIL, is_verified=True)
    await a_member(db, MEMBER, is_verified=False)
    await link(db, proof(), MEMBER)
    found = await stored_contacts.find(db, RING, PROGRAM, contacts.email(MAIL))
    assert found == stored_contacts.Found(OTHER, is_verified=True)


async def unlink(db: Db, provider: str = "google", usable: tuple[str, ...] = USABLE) -> None:
    async with db.transaction():
        await identities.unlink(db, PROGRAM, MEMBER, provider, usable=usable)


async def test_the_last_way_to_sign_in_stays(db: Db) -> None:
    await a_member(db, MEMBER, is_verified=False)
    await link(db, proof(), MEMBER)
    with pytest.raises(errors.LastSignInWay):
        await unlink(db)
    await link(db, proof(provider="facebook"), MEMBER, 2)
    with pytest.raises(errors.LastSignInWay):
        await unlink(db)
    await link(db, proof(provider="spotify"), MEMBER, 3)
    await unlink(db)
    with pytest.raises(errors.IdentityNotFound):
        await unlink(db)
    with pytest.raises(errors.LastSignInWay):
        await unlink(db, "spotify")


async def test_a_verified_contact_is_another_way(db: Db) -> None:
    await a_member(db, MEMBER, mail=MAIL, is_verified=True)
    await link(db, proof(), MEMBER)
    await unlink(db)


async def test_a_password_is_another_way_with_a_contact_to_go_with_it(db: Db) -> None:
    await a_member(db, MEMBER, is_verified=False)
    await link(db, proof(), MEMBER)
    await db.execute(
        "INSERT INTO credential (subject_id, program_id, password_hash) VALUES ($1, $2, 'x')",
        MEMBER,
        PROGRAM,
    )
    with pytest.raises(errors.LastSignInWay):
        await unlink(db)
    await stored_contacts.put(db, RING, PROGRAM, MEMBER, contacts.email(MAIL))
    await unlink(db)


async def test_two_ways_cannot_be_unlinked_at_once(db: Db, pool: pg.Pool) -> None:
    await a_member(db, MEMBER, is_verified=False)
    await link(db, proof(), MEMBER)
    await link(db, proof(provider="spotify"), MEMBER, 2)

    async def one(provider: str) -> None:
        async with pool.acquire() as own, own.transaction():
            await identities.unlink(own, PROGRAM, MEMBER, provider, usable=USABLE)
            await asyncio.sleep(0.05)

    done = await asyncio.gather(one("google"), one("spotify"), return_exceptions=True)
    assert sorted(map(type, done), key=str) == [type(None), errors.LastSignInWay]
    assert await db.fetchval("SELECT count(*) FROM identity") == 1


async def test_what_names_a_person_is_sealed(db: Db, database: DatabaseUrls) -> None:
    asha = msgspec.structs.replace(ASHA, subject="10769150350006150715113082367")
    await sign_in(db, proof(asha, token="a-refresh-token"))
    row = await db.fetchrow("SELECT * FROM identity")
    assert row is not None
    stored = b"\n".join(value for value in row.values() if isinstance(value, bytes)).lower()
    assert not [secret for secret in SECRETS if secret.encode() in stored]


async def test_a_sign_in_without_a_new_token_keeps_the_old(db: Db) -> None:
    await sign_in(db, proof(token="first"))
    await sign_in(db, proof())
    lease = await identities.lease(db, RING, an_id("identity", 1 << 40))
    assert lease is not None
    assert (lease.provider, lease.refresh_token) == ("google", "first")
    assert "first" not in repr(lease)


async def test_one_at_a_time_may_refresh(db: Db) -> None:
    await sign_in(db, proof(token="first"))
    identity_id = an_id("identity", 1 << 40)
    lease = await identities.lease(db, RING, identity_id)
    assert lease is not None
    assert await identities.lease(db, RING, identity_id) is None
    assert await identities.end_lease(db, RING, lease, refresh_token="second", is_replaced=True)
    again = await identities.lease(db, RING, identity_id)
    assert again is not None
    assert again.refresh_token == "second"
    assert not await identities.end_lease(db, RING, lease, refresh_token="old", is_replaced=True)
    assert await identities.end_lease(db, RING, again, refresh_token=None, is_replaced=True)
    assert await identities.lease(db, RING, identity_id) is None


async def test_the_right_to_refresh_passes_on_when_its_time_is_over(
    db: Db, database: DatabaseUrls
) -> None:
    await sign_in(db, proof(token="first"))
    identity_id = an_id("identity", 1 << 40)
    lease = await identities.lease(db, RING, identity_id)
    await db.execute("UPDATE identity SET refreshing_until = now() - interval '1 second'")
    assert lease is not None
    assert await identities.lease(db, RING, identity_id) is not None
    assert not await identities.end_lease(db, RING, lease, refresh_token="x", is_replaced=True)


async def test_a_token_of_a_new_sign_in_is_not_overwritten_by_one_that_was_refreshed(
    db: Db,
) -> None:
    await sign_in(db, proof(token="first"))
    identity_id = an_id("identity", 1 << 40)
    lease = await identities.lease(db, RING, identity_id)
    assert lease is not None
    await sign_in(db, proof(token="second"))
    assert not await identities.end_lease(db, RING, lease, refresh_token=None, is_replaced=True)
    again = await identities.lease(db, RING, identity_id)
    assert again is not None
    assert again.refresh_token == "second"


async def test_a_token_in_another_row_does_not_open(db: Db, database: DatabaseUrls) -> None:
    await sign_in(db, proof(token="first"))
    await sign_in(db, proof(Profile(subject="2"), token="other"), 2)
    owner = await asyncpg.connect(database.migrate)
    await owner.execute(
        "UPDATE identity SET refresh_token = (SELECT refresh_token FROM identity WHERE id = $1)",
        an_id("identity", 2 << 40),
    )
    await owner.close()
    with pytest.raises(errors.BadField):
        await identities.lease(db, RING, an_id("identity", 1 << 40))
