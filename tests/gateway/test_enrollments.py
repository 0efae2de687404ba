"""A phone is enrolled once in a program, whoever asks and how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.conftest import Answer, Client, Db, bearer, counts, token
from tests.gateway.people import program

PHONE = "+49 30 123456"
SPELLINGS = (PHONE, "+4930123456", "+49 (30) 12 34 56")


async def enroll(client: Client, path: str = "/enrollments", **body: Any) -> Answer:
    return await client.post(path, {"phone": PHONE, **body})


async def enrolled(db: Db) -> int:
    entries: int = await db.fetchval(
        "SELECT count(*) FROM audit_entry WHERE action = 'member.enroll'"
    )
    assert entries == await db.fetchval("SELECT count(*) FROM member_contact")
    assert entries == (await counts(db))["member"]
    return entries


async def test_a_phone_is_enrolled_once(client: Client, db: Db) -> None:
    made = await enroll(client, name="Asha", attributes={"city": "Pune"})
    assert (made.status, made.body["is_new"]) == (201, True)
    member = made.body["member"]
    assert (member["id"], member["name"]) == (made.body["id"], "Asha")
    for path in ("/enrollments", "/v1/enrollments"):
        for phone in SPELLINGS:
            again = await enroll(client, path, phone=phone, name="Ravi")
            known = {"id": member["id"], "is_new": False, "member": member}
            assert (again.status, again.body) == (200, known)
    found = (await client.get("/v1/members/lookup?phone=%2B4930123456")).body
    assert (found["member"], found["is_verified"]) == (member, False)
    award = {"member": member["id"], "kind": "stamps", "amount": 1}
    assert (await client.post("/v1/awards", award, Idempotency_Key="a")).status == 201
    assert await enrolled(db) == 1


async def test_of_many_at_once_one_enrolls_and_the_others_find_it(client: Client, db: Db) -> None:
    answers = await asyncio.gather(*(enroll(client, external_id="m1") for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [201]
    assert len({answer.body["id"] for answer in answers}) == 1
    assert await enrolled(db) == 1


async def test_who_may_not_read_members_learns_nothing_of_one(client: Client) -> None:
    made = await enroll(client, name="Asha")
    headers = bearer(token(program(client), ["members:write"]))
    till = Client(client.session, client.url, headers)
    known = await enroll(till)
    assert known.status == 200
    assert known.body == {"id": made.body["id"], "is_new": False, "member": None}
    own = await enroll(till, phone="+4930123457", name="Ravi")
    assert (own.status, own.body["member"]["name"]) == (201, "Ravi")


async def test_programs_and_left_members_do_not_take_a_phone(client: Client, other: Client) -> None:
    mine, theirs = await enroll(client), await enroll(other)
    assert (mine.status, theirs.status) == (201, 201)
    assert (await client.delete(f"/v1/members/{mine.body['id']}")).status == 204
    again = await enroll(client)
    assert again.status == 201
    assert again.body["id"] not in {mine.body["id"], theirs.body["id"]}


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"phone": "030 123456"}, 422, "invalid_request", "/phone"),
        ({"phone": None}, 422, "invalid_request", "/phone"),
        ({"phone": "+4930123457", "external_id": "m1"}, 409, "external_id_taken", None),
        ({"email": "a@b.example"}, 422, "invalid_request", None),
    ],
)
async def test_a_bad_enrollment_makes_nobody(
    client: Client, db: Db, body: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    await enroll(client, external_id="m1")
    refused = await enroll(client, **body)
    assert (refused.status, refused.code) == (status, code)
    pointers = [one.get("pointer") for one in refused.body.get("errors", [])]
    assert pointer is None or pointers == [pointer]
    assert await enrolled(db) == 1
