"""Callers that come too often: who is counted, what they are told, with Redis and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from prometheus_client import REGISTRY

from core import errors
from core.limits import Policy
from core.settings import Settings
from db import limits as counted
from gateway import limits, rates
from gateway.app import App
from gateway.auth import Caller
from tests import lanes
from tests.gateway.conftest import Client, bearer, running, token

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
ACCOUNT = b"\x01" * 16
OTHER = b"\x02" * 16


class Clock:
    """The time of the limits, which passes when the test says so."""

    def __init__(self) -> None:
        self.us = rates.now_us()

    def __call__(self) -> int:
        return self.us


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(rates, "now_us", stopped)
    # However slow the machine is, nobody is let through because Redis took too long.
    monkeypatch.setattr(rates, "WAIT_S", 20.0)
    return stopped


def limited(client: Client, rate: int | None, program: str) -> Client:
    """The same caller under another policy."""
    return Client(client.session, client.url, bearer(token(program, rate_per_minute=rate)))


@pytest.fixture
async def program(staff: Client) -> str:
    made = await staff.post("/v1/programs", {"name": "Tea", "currency": "INR"})
    return str(made.body["id"])


@pytest.fixture
async def strict(
    settings: Settings, open_partitions: None, session: aiohttp.ClientSession
) -> AsyncIterator[tuple[App, Client]]:
    """A gateway that sits behind a proxy on this machine and allows three anonymous requests."""
    chosen = msgspec.structs.replace(
        settings, rate_anonymous_per_minute=3, trusted_proxies="127.0.0.0/8"
    )
    async with running(chosen) as (app, url):
        yield app, Client(session, url, {})


async def test_a_caller_is_told_where_it_stands_and_refused_past_its_rate(
    staff: Client, program: str
) -> None:
    client = limited(staff, 3, program)
    for left in (2, 1, 0):
        answer = await client.get("/v1/members")
        assert answer.status == 200
        assert answer.headers["RateLimit-Policy"] == '"caller";q=3;w=60'
        assert answer.headers["RateLimit"].startswith(f'"caller";r={left};t=')
        assert "Retry-After" not in answer.headers
    refused = await client.get("/v1/members")
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert refused.body["type"] == QUOTA_EXCEEDED
    assert refused.body["violated-policies"] == ["caller"]
    assert refused.headers["RateLimit"] in {'"caller";r=0;t=60', '"caller";r=0;t=59'}
    assert 18 <= int(refused.headers["Retry-After"]) <= 20
    # Whoever else comes is not concerned.
    for rate in (0, 4, None):
        assert (await limited(staff, rate, program).get("/v1/members")).status == 200


async def test_no_rate_means_the_default_and_zero_means_no_limit(
    staff: Client, program: str
) -> None:
    default = await limited(staff, None, program).get("/v1/members")
    assert default.headers["RateLimit-Policy"] == '"caller";q=1000;w=60'
    free = await limited(staff, 0, program).get("/v1/members")
    assert "RateLimit" not in free.headers
    assert "RateLimit-Policy" not in free.headers


async def test_the_standing_can_be_asked_for(staff: Client, program: str) -> None:
    client = limited(staff, 3, program)
    await client.get("/v1/members")
    answer = await client.get("/v1/limits")
    (limit,) = answer.body["data"]
    assert limit.pop("reset_s") in {39, 40}
    assert limit == {"policy": "caller", "quota": 3, "window_s": 60, "left": 1}
    assert answer.headers["RateLimit"].startswith('"caller";r=1;')
    assert (await limited(staff, 0, program).get("/v1/limits")).body == {"data": []}
    assert (await staff.get("/v1/limits")).body == {"data": []}
    assert (await staff.get("/v1/limits", Authorization=None)).status == 401


async def test_a_refused_request_changes_nothing(staff: Client, program: str) -> None:
    client = limited(staff, 1, program)
    assert (await client.post("/v1/members", {"external_id": "a"})).status == 201
    assert (await client.post("/v1/members", {"external_id": "b"})).status == 429
    listed = await limited(staff, 0, program).get("/v1/members")
    assert [member["external_id"] for member in listed.body["data"]] == ["a"]


async def test_a_refusal_of_the_handler_says_where_the_caller_stands(
    staff: Client, program: str
) -> None:
    answer = await limited(staff, 9, program).get("/v1/members/mem_none")
    assert answer.status == 404
    assert answer.headers["RateLimit"].startswith('"caller";r=8;')


@lanes.BOTH_LANES
async def test_awards_are_limited_in_both_lanes(staff: Client, program: str) -> None:
    member = await limited(staff, 0, program).post("/v1/members", {})
    client = limited(staff, 3, program)
    body = {"member": member.body["id"], "kind": "points", "amount": 1}
    answers = [
        await client.post("/v1/awards", body, Idempotency_Key=f"k{number}") for number in range(5)
    ]
    assert [answer.status for answer in answers] == [201, 201, 201, 429, 429]
    assert all(
        answer.headers["RateLimit"].startswith(f'"caller";r={left};t=')
        for answer, left in zip(answers, (2, 1, 0, 0, 0), strict=True)
    )
    again = await limited(staff, 0, program).post("/v1/awards", body, Idempotency_Key="k4")
    assert (again.status, again.body["balance"]) == (201, 4)


async def test_staff_are_one_caller_whichever_program_they_name(
    staff: Client, program: str
) -> None:
    other = (await staff.post("/v1/programs", {"name": "Tea", "currency": "INR"})).body["id"]
    client = Client(staff.session, staff.url, bearer(token(None, rate_per_minute=2)))
    statuses = [
        (await client.get("/v1/members", Stampgate_Program=named)).status
        for named in (program, other, program)
    ]
    assert statuses == [200, 200, 429]


async def test_two_programs_do_not_share_a_limit(staff: Client, program: str) -> None:
    other = (await staff.post("/v1/programs", {"name": "Tea", "currency": "INR"})).body["id"]
    for named in (program, other):
        assert (await limited(staff, 1, named).get("/v1/members")).status == 200
        assert (await limited(staff, 1, named).get("/v1/members")).status == 429


async def test_who_has_no_credential_is_counted_by_address(strict: tuple[App, Client]) -> None:
    client = strict[1]
    for left in (2, 1, 0):
        answer = await client.get("/version", X_Forwarded_For="198.51.100.7")
        assert answer.headers["RateLimit-Policy"] == '"anonymous";q=3;w=60'
        assert answer.headers["RateLimit"].startswith(f'"anonymous";r={left};')
    # What the client itself writes before the proxy's entry helps nothing.
    for forwarded in ("198.51.100.7", "192.0.2.1, 198.51.100.7", "10.0.0.1,198.51.100.7"):
        assert (await client.get("/version", X_Forwarded_For=forwarded)).status == 429
    assert (await client.get("/version", X_Forwarded_For="198.51.100.8")).status == 200


async def test_who_has_an_ipv6_network_is_counted_once(strict: tuple[App, Client]) -> None:
    statuses = [
        (await strict[1].get("/version", X_Forwarded_For=f"2001:db8:1:2::{number}")).status
        for number in range(4)
    ]
    assert statuses == [200, 200, 200, 429]
    assert (await strict[1].get("/version", X_Forwarded_For="2001:db8:1:3::1")).status == 200


async def test_an_untrusted_peer_cannot_name_another_address(
    settings: Settings, session: aiohttp.ClientSession
) -> None:
    chosen = msgspec.structs.replace(settings, rate_anonymous_per_minute=1)
    async with running(chosen) as (_, url):
        client = Client(session, url, {})
        assert (await client.get("/version", X_Forwarded_For="198.51.100.1")).status == 200
        assert (await client.get("/version", X_Forwarded_For="198.51.100.2")).status == 429


async def test_a_credential_that_is_no_good_counts_as_none(strict: tuple[App, Client]) -> None:
    answers = [
        await strict[1].get("/v1/members", Authorization=f"Bearer guess{number}")
        for number in range(4)
    ]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert answers[0].headers["RateLimit"].startswith('"anonymous";r=2;')


async def test_who_tries_doors_is_counted_by_address(
    strict: tuple[App, Client], program: str
) -> None:
    small = bearer(token(program, ["links:read"], rate_per_minute=0))
    client = Client(strict[1].session, strict[1].url, small)
    answers = [await client.get("/v1/members") for _ in range(4)]
    assert [answer.status for answer in answers] == [403, 403, 403, 429]
    assert (await client.get("/v1/links")).status == 200


async def test_health_is_never_limited(strict: tuple[App, Client]) -> None:
    for path in ("/health/live", "/health/ready"):
        answers = [await strict[1].get(path) for _ in range(5)]
        assert {answer.status for answer in answers} == {200}
        assert "RateLimit" not in answers[0].headers


async def test_two_processes_share_the_limit(
    settings: Settings, gateway: tuple[App, str], staff: Client, program: str
) -> None:
    async with running(settings) as (_, url):
        one = limited(staff, 30, program)
        other = Client(staff.session, url, one.headers)
        asked = [(one, other)[number % 2].get("/v1/members") for number in range(40)]
        statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert sorted(statuses) == [200] * 30 + [429] * 10


def unchecked(policy: str, outcome: str) -> float:
    labels = {"policy": policy, "outcome": outcome}
    return REGISTRY.get_sample_value("stampgate_rate_limits_unchecked_total", labels) or 0


async def test_without_redis_requests_go_through_and_sign_ins_do_not(
    settings: Settings, session: aiohttp.ClientSession
) -> None:
    away = msgspec.structs.replace(
        settings, redis_url="redis://127.0.0.1:1/0", rate_anonymous_per_minute=1
    )
    async with running(away) as (app, url):
        before = unchecked("anonymous", "open"), unchecked("sign-in", "closed")
        client = Client(session, url, {})
        answers = [await client.get("/version") for _ in range(3)]
        assert {answer.status for answer in answers} == {200}
        assert "RateLimit" not in answers[0].headers
        with pytest.raises(errors.Unavailable):
            await limits.check_sign_in(app, ACCOUNT, "198.51.100.7")
        with pytest.raises(errors.Unavailable):
            await limits.sign_in_failed(app, ACCOUNT, "198.51.100.7")
        await limits.sign_in_succeeded(app, ACCOUNT)
        after = unchecked("anonymous", "open"), unchecked("sign-in", "closed")
        assert (after[0] - before[0], after[1] - before[1]) == (3, 2)


async def fail(app: App, account: bytes, address: str, times: int) -> None:
    for _ in range(times):
        await limits.check_sign_in(app, account, address)
        await limits.sign_in_failed(app, account, address)


async def test_an_account_is_closed_for_a_while_from_wherever_it_is_tried(app: App) -> None:
    for number in range(5):
        await fail(app, ACCOUNT, f"198.51.100.{number}", 1)
    with pytest.raises(errors.RateLimited) as refused:
        await limits.check_sign_in(app, ACCOUNT, "198.51.100.99")
    assert 880 <= (refused.value.retry_after_s or 0) <= 900
    assert refused.value.standing is not None
    assert refused.value.standing.policy == Policy("sign-in", 5, 900)
    await limits.check_sign_in(app, OTHER, "198.51.100.99")


async def test_an_address_is_closed_for_a_while_whatever_it_tries(app: App) -> None:
    for number in range(5):
        await fail(app, bytes([number]) * 16, "2001:db8:1:2::1", 1)
    with pytest.raises(errors.RateLimited):
        await limits.check_sign_in(app, OTHER, "2001:db8:1:2:ffff::")
    await limits.check_sign_in(app, OTHER, "2001:db8:1:3::")


async def test_who_signs_in_well_is_never_closed_out(app: App) -> None:
    for _ in range(20):
        await limits.check_sign_in(app, ACCOUNT, "198.51.100.7")
        await limits.sign_in_succeeded(app, ACCOUNT)


async def test_only_a_wrong_password_counts_as_a_failure(app: App) -> None:
    for _ in range(20):
        with pytest.raises(errors.OverCapacity):
            async with limits.attempt(app, ACCOUNT, "198.51.100.7", errors.TokenInvalid):
                raise errors.OverCapacity
        async with limits.attempt(app, ACCOUNT, "198.51.100.7", errors.TokenInvalid):
            pass
    for _ in range(5):
        with pytest.raises(errors.TokenInvalid):
            async with limits.attempt(app, ACCOUNT, "198.51.100.7", errors.TokenInvalid):
                raise errors.TokenInvalid
    with pytest.raises(errors.RateLimited):
        async with limits.attempt(app, ACCOUNT, "198.51.100.8", errors.TokenInvalid):
            pytest.fail("nothing is checked any more")


async def test_tries_at_the_same_time_cannot_outrun_the_count(app: App) -> None:
    tries = [limits.check_sign_in(app, ACCOUNT, "198.51.100.7") for _ in range(50)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(result is None for result in results) == 5
    assert sum(isinstance(result, errors.RateLimited) for result in results) == 45


CALLER = Caller("prg_a", "app", is_platform=False, rate_per_minute=60_000)


async def test_a_busy_caller_is_admitted_from_memory_and_never_beyond_its_rate(
    app: App, clock: Clock
) -> None:
    policy = app.rates.policy(CALLER)
    assert policy is not None
    counts = {"memory": 0, "redis": 0}
    started = clock.us
    for _ in range(50):
        for _ in range(20):
            if app.rates.admit_now(CALLER, policy) is not None:
                counts["memory"] += 1
            else:
                await app.rates.admit(CALLER, "")
                counts["redis"] += 1
        clock.us += 10_000
    assert counts["memory"] > 3 * counts["redis"]
    await app.rates.close()
    standing = await counted.look(app.redis, policy, "prg_a:60000:app", clock.us)
    used = counts["memory"] + counts["redis"]
    earned = (clock.us - started) // policy.each_us
    # What was spent and not used came back: only what was used and not yet earned is missing.
    assert policy.quota - standing.left == used - earned > 0


async def test_leases_of_two_processes_stay_within_the_quota(
    settings: Settings, gateway: tuple[App, str], clock: Clock
) -> None:
    caller = CALLER._replace(rate_per_minute=6_000)
    async with running(settings) as (second, _):
        apps = (gateway[0], second)
        policy = second.rates.policy(caller)
        assert policy is not None
        granted, started = 0, clock.us
        for _ in range(300):
            for app in apps:
                for _ in range(200):
                    try:
                        if app.rates.admit_now(caller, policy) is None:
                            await app.rates.admit(caller, "")
                        granted += 1
                    except errors.RateLimited:
                        break
            clock.us += 5_000
        earned = policy.quota + (clock.us - started) // policy.each_us
    # A lease is at most a tenth of a second's worth; nothing is lost but what is leased right now.
    assert earned - 2 * (rates.LEASE_US // policy.each_us) - 10 <= granted <= earned


async def test_a_refusal_is_remembered_until_it_is_over(app: App, clock: Clock) -> None:
    caller = CALLER._replace(rate_per_minute=1_200)
    policy = app.rates.policy(caller)
    assert policy is not None
    for _ in range(policy.quota):
        await app.rates.admit(caller, "")
    with pytest.raises(errors.RateLimited):
        await app.rates.admit(caller, "")
    clock.us += policy.each_us - 1
    with pytest.raises(errors.RateLimited):
        app.rates.admit_now(caller, policy)
    clock.us += 1
    assert app.rates.admit_now(caller, policy) is None
    await app.rates.admit(caller, "")
