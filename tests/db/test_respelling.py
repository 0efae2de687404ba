"""Mail addresses that were stored under an older spelling: found again, and nobody else's."""

from __future__ import annotations

import pytest

from core import contacts as spelling
from core import keyring
from core.contacts import Contact
from core.errors import BadField
from db import contacts, members, operators, pg, respelling
from db.members import NewMember
from tests.conftest import RING
from tests.db.conftest import PROGRAM

ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(range(32, 64)))
# As they were stored, and as they are spelled today.
OLD = {
    "mem_a": ("asha@xn--bcher-kva.example", "asha@bücher.example"),
    "mem_b": ("bela@example.com", "bela@example.com"),
    # Casefolding takes a letter apart that is composed today.
    "mem_c": ("\u03b9\u0308\u0301@example.com", "\u0390@example.com"),
    # What nobody can type today stays.
    "mem_d": ("d@b_c.xn--bcher-kva.example", "d@b_c.xn--bcher-kva.example"),
    "mem_e": ("ella@ﬁsh.example", "ella@fish.example"),
}
TAKEN = "asha@bücher.example"


@pytest.fixture(autouse=True)
async def stored(db: pg.Db) -> None:
    """Members with addresses as they once were; a phone number is none of them."""
    people = [(member_id, NewMember()) for member_id in OLD]
    await members.add_many(db, RING, PROGRAM, people)
    for member_id, (address, _) in OLD.items():
        await put(db, member_id, address)
    await contacts.put(db, RING, PROGRAM, "mem_a", spelling.phone("+4930123456"))


async def put(db: pg.Db, member_id: str, address: str) -> None:
    contact = Contact("email", address)
    await contacts.put(db, RING, PROGRAM, member_id, contact, is_verified=True)


async def found(db: pg.Db, typed: str, ring: keyring.KeyRing = RING) -> str | None:
    """Whose address it is, however it is typed."""
    one = await contacts.find(db, ring, PROGRAM, spelling.email(typed))
    return None if one is None else one.member_id


async def test_an_address_is_found_however_it_was_stored(
    db: pg.Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(respelling, "PORTION", 2)
    assert await found(db, "asha@bücher.example") is None
    done = await respelling.run(db, RING)
    assert (done.respelled, done.taken) == (3, [])
    for member_id, (_, present) in OLD.items():
        (mail, *_) = await contacts.of_member(db, RING, PROGRAM, member_id)
        assert mail.address == present
        assert mail.verified_at is not None, "it is the mailbox that was proved"
        if "_" not in present:
            assert await found(db, present.upper()) == member_id
    assert await found(db, "asha@XN--BCHER-KVA.example") == "mem_a"
    assert (await respelling.run(db, RING)).respelled == 0


@pytest.mark.parametrize("ring", [RING, ROTATED], ids=["one key", "rotated"])
async def test_an_address_that_is_somebody_elses_by_now_stays_as_it_is(
    db: pg.Db, ring: keyring.KeyRing
) -> None:
    """Also when the other one is stored under the hash of another key."""
    await members.add(db, RING, PROGRAM, "mem_z", NewMember())
    await put(db, "mem_z", TAKEN)
    done = await respelling.run(db, ring)
    assert done.taken == ["mem_a"]
    assert await found(db, TAKEN, ring) == "mem_z"
    (mail, _) = await contacts.of_member(db, ring, PROGRAM, "mem_a")
    assert mail.address == OLD["mem_a"][0]


async def test_of_two_old_spellings_of_one_mailbox_one_is_found(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, "mem_z", NewMember())
    await put(db, "mem_z", "asha@b\u0075\u0308cher.example")
    done = await respelling.run(db, RING)
    assert done.taken == ["mem_z"]
    assert await found(db, TAKEN) == "mem_a"


async def test_another_address_that_was_taken_meanwhile_is_not_overwritten(db: pg.Db) -> None:
    read = (await db.fetch(respelling.MEMBERS, "", 1))[0]["stored"]
    await put(db, "mem_a", "asha@tea.example")
    old = spelling.email(OLD["mem_a"][0])
    assert not await contacts.respell(db, RING, PROGRAM, "mem_a", read, old)
    assert await found(db, "asha@tea.example") == "mem_a"


async def test_operators_are_found_too(db: pg.Db) -> None:
    for operator_id, address in (("opr_a", OLD["mem_a"][0]), ("opr_b", "o@xn--mnchen-3ya.example")):
        await operators.add(
            *(db, RING, operator_id),
            program_id=PROGRAM,
            role="owner",
            email=Contact("email", address),
            name="Olga",
        )
    await operators.add(
        *(db, RING, "opr_z"),
        program_id=None,
        role="admin",
        email=spelling.email(TAKEN),
        name="Zoe",
    )
    done = await respelling.run(db, RING)
    assert (done.respelled, done.taken) == (4, ["opr_a"])
    known = await operators.find(db, RING, spelling.email("o@münchen.example"))
    assert known == ("opr_b", PROGRAM)
    assert await operators.find(db, RING, spelling.email(TAKEN)) == ("opr_z", None)


async def test_what_no_key_opens_is_told(db: pg.Db) -> None:
    alone = keyring.retire(ROTATED, "field", RING.active_field)
    with pytest.raises(BadField):
        await respelling.run(db, alone)
