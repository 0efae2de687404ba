"""Lists in PostgreSQL, and the rules that look things up in them."""

from __future__ import annotations

import pytest

from core import contacts as contacts_
from core import errors
from core.fraud_lists import Entry, Found, Kind
from core.fraud_rules import DisposableMail, ListedNetwork
from db import contacts, fraud_lists, members, pg
from tests.conftest import RING
from tests.db import test_fraud
from tests.db.conftest import PROGRAM
from tests.db.test_conversions import MEMBER, NOW, apply, report
from tests.db.test_fraud import Click, add, another_program, cases

network = test_fraud.network
click = test_fraud.click


async def put(
    db: pg.Db, name: str, *values: str, kind: Kind = "mail_domains", program: str = PROGRAM
) -> fraud_lists.FraudList:
    entries = [Entry(value=value, label=value[:1]) for value in values]
    async with db.transaction():
        return await fraud_lists.put(db, program, name, kind, entries, "opr_1", NOW)


async def mail(db: pg.Db, address: str, member_id: str = MEMBER) -> None:
    await contacts.put(db, RING, PROGRAM, member_id, contacts_.email(address))


async def in_lists(db: pg.Db) -> list[Found]:
    return sorted((await fraud_lists.of_mails(db, RING, PROGRAM, [MEMBER]))[MEMBER])


async def test_a_list_is_replaced_whole_and_stays_of_its_kind(db: pg.Db) -> None:
    await mail(db, "asha@b.example")
    await put(db, "own", "a.example", "b.example")
    assert await in_lists(db) == [("own", "b")]
    made = await put(db, "own", "a.example", "c.example", "d.example")
    assert (made.entries, await in_lists(db)) == (3, [])
    assert await fraud_lists.find(db, PROGRAM) == [made]
    with pytest.raises(errors.Conflict):
        await put(db, "own", "198.51.100.0/24", kind="networks")
    with pytest.raises(errors.ProgramNotFound):
        await put(db, "own", "a.example", program="prg_x")
    await fraud_lists.delete(db, PROGRAM, "own")
    assert await db.fetchval("SELECT count(*) FROM listed_domain") == 0
    with pytest.raises(errors.FraudListNotFound):
        await fraud_lists.delete(db, PROGRAM, "own")


async def test_a_program_has_no_more_lists_than_are_kept_up_to_date(db: pg.Db) -> None:
    for number in range(50):
        await put(db, f"l{number}", "a.example")
    with pytest.raises(errors.Conflict):
        await put(db, "one-more", "a.example")
    assert (await put(db, "l1", "b.example", "c.example")).entries == 2


async def test_a_mail_address_is_in_the_list_of_a_domain_above_the_closest_first(
    db: pg.Db,
) -> None:
    await another_program(db)
    await mail(db, "asha@x.mailinator.com")
    await put(db, "own", "mailinator.com", "x.mailinator.com")
    await put(db, "theirs", "mailinator.com", program="prg_2")
    assert await in_lists(db) == [("built-in", ""), ("own", "x")]
    await mail(db, "asha@notmailinator.com")
    assert await in_lists(db) == []


async def test_rules_see_who_has_a_mail_address_for_some_minutes(db: pg.Db, click: Click) -> None:
    await members.add(db, RING, PROGRAM, "mem_2", members.NewMember())
    await mail(db, "asha@mailinator.com")
    await mail(db, "ravi@example.com", "mem_2")
    await add(db, DisposableMail())
    await add(db, DisposableMail(lists=["other"]), "reject")
    said = [report("t1", click_id=await click()), report("t2", click_id=await click("mem_2"))]
    assert await apply(db, *said) == ["held_for_review", "accepted"]
    [case] = await cases(db)
    assert [hit.reason for hit in case.hits] == [
        "the domain of the member's mail address is in built-in"
    ]
    # A row that nobody can open keeps nobody's report waiting.
    await db.execute("UPDATE member_contact SET sealed = '\\x0100' WHERE member_id = 'mem_2'")
    await apply(db, report("t3", click_id=await click("mem_2")))
    assert len(await cases(db)) == 1


async def test_rules_see_from_which_network_of_a_list_a_click_came(db: pg.Db, click: Click) -> None:
    await add(db, ListedNetwork(lists=["hosting", "tor"]))
    listed, other, none = await click(), await click(), await click()
    said = "UPDATE click SET networks = $2 WHERE click_id = $1"
    await db.execute(said, listed, ["hosting AS64500 Rack", "office "])
    await db.execute(said, other, ["office "])
    await apply(db, *(report(one, click_id=one) for one in (listed, other, none)))
    [case] = await cases(db)
    assert case.hits[0].reason == "its click came from a network in hosting (AS64500 Rack)"
