"""Programs and merchants over HTTP."""

from __future__ import annotations

from tests.gateway.conftest import Client, bearer, token


async def test_a_program_is_made_by_staff_and_read_by_its_own_token(staff: Client) -> None:
    made = await staff.post(
        "/v1/programs",
        {
            "name": "Tea",
            "currency": "INR",
            "time_zone": "Asia/Kolkata",
            "settings": {"points": {"per_member_day": 500}},
        },
    )
    assert made.status == 201
    assert made.body["settings"]["points"]["per_member_day"] == 500
    own = Client(staff.session, staff.url, bearer(token(made.body["id"])))
    read = await own.get(f"/v1/programs/{made.body['id']}")
    assert (read.status, read.body) == (200, made.body)


async def test_a_program_changes_only_in_the_given_fields(staff: Client, client: Client) -> None:
    program = (await staff.get("/v1/programs")).body["data"][0]
    path = f"/v1/programs/{program['id']}"
    changed = await client.patch(path, {"name": "Coffee"})
    assert changed.status == 200
    assert changed.body == {**program, "name": "Coffee", "updated_at": changed.body["updated_at"]}
    assert (await client.get(path)).body == changed.body


async def test_a_time_zone_that_does_not_exist_is_refused(staff: Client, client: Client) -> None:
    refused = await staff.post(
        "/v1/programs", {"name": "Tea", "currency": "INR", "time_zone": "Mars/Olympus"}
    )
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert refused.body["errors"][0]["pointer"] == "/time_zone"
    program = (await staff.get("/v1/programs")).body["data"][0]
    path = f"/v1/programs/{program['id']}"
    assert (await client.patch(path, {"time_zone": "../etc/passwd"})).status == 422
    assert (await client.get(path)).body == program


async def test_another_program_is_not_there(client: Client, other: Client, staff: Client) -> None:
    ids = [program["id"] for program in (await staff.get("/v1/programs")).body["data"]]
    answers = [await caller.get(f"/v1/programs/{ids[1]}") for caller in (client, other, staff)]
    assert [answer.status for answer in answers] == [404, 200, 200]
    assert answers[0].code == "program_not_found"
    assert (await client.patch(f"/v1/programs/{ids[1]}", {"name": "Mine"})).status == 404
    assert (await staff.get("/v1/programs/prg_nothing")).code == "program_not_found"


async def test_programs_are_listed_page_by_page(staff: Client) -> None:
    for name in "abc":
        await staff.post("/v1/programs", {"name": name, "currency": "INR"})
    first = await staff.get("/v1/programs?limit=2")
    assert [one["name"] for one in first.body["data"]] == ["a", "b"]
    second = await staff.get(f"/v1/programs?limit=2&cursor={first.body['next_cursor']}")
    assert [one["name"] for one in second.body["data"]] == ["c"]
    assert second.body["next_cursor"] is None


async def test_merchants_are_stored_read_changed_and_listed(client: Client) -> None:
    made = await client.post("/v1/merchants", {"name": "Shop", "external_id": "s1"})
    assert made.status == 201
    path = f"/v1/merchants/{made.body['id']}"
    assert (await client.get(path)).body == made.body
    changed = await client.patch(path, {"external_id": None})
    assert changed.body == {**made.body, "external_id": None}
    assert (await client.patch(path, {"name": "Store"})).body["name"] == "Store"
    assert len((await client.get("/v1/merchants")).body["data"]) == 1
    assert (await client.get("/v1/merchants?external_id=s1")).body["data"] == []


async def test_a_merchants_external_id_is_taken_once_in_a_program(
    client: Client, other: Client
) -> None:
    for caller in (client, other):
        assert (await caller.post("/v1/merchants", {"name": "A", "external_id": "x"})).status == 201
    again = await client.post("/v1/merchants", {"name": "B", "external_id": "x"})
    assert (again.status, again.code) == (409, "external_id_taken")
    second = await client.post("/v1/merchants", {"name": "B"})
    clash = await client.patch(f"/v1/merchants/{second.body['id']}", {"external_id": "x"})
    assert clash.code == "external_id_taken"


async def test_another_programs_merchant_is_not_there(client: Client, other: Client) -> None:
    made = await client.post("/v1/merchants", {"name": "Shop"})
    path = f"/v1/merchants/{made.body['id']}"
    assert (await other.get(path)).code == "merchant_not_found"
    assert (await other.patch(path, {"name": "Mine"})).code == "merchant_not_found"
    assert (await other.get("/v1/merchants")).body["data"] == []
