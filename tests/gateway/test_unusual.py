"""What attackers do shows in metrics: by its kind, and without who it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from prometheus_client import REGISTRY

from core import apikeys
from core.settings import Settings
from gateway import unusual
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, bearer, running, token


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"stampgate_{metric}_total", labels) or 0.0


async def test_each_kind_of_unusual_use_is_counted(
    client: Client, other: Client, settings: Settings
) -> None:
    program_id = people.program(client)
    reader = Client(client.session, client.url, bearer(token(program_id, ["links:read"])))
    slow = Client(client.session, client.url, bearer(token(program_id, rate_per_minute=1)))
    assert (await slow.get("/v1/members")).status == 200
    assert (await client.post("/v1/members", {}, Idempotency_Key="k")).status == 201
    key = apikeys.new(bytes(apikeys.ENTROPY_BYTES))
    pages = {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"}
    asks: dict[str, Callable[[], Awaitable[Answer]]] = {
        "forged_token": lambda: client.get("/v1/members", Authorization="Bearer x"),
        "forged_key": lambda: client.get("/v1/members", Authorization=f"Bearer {key}"),
        "missing_scope": lambda: reader.get("/v1/members"),
        "foreign_program": lambda: client.get(
            "/v1/members", Stampgate_Program=people.program(other)
        ),
        "foreign_origin": lambda: client.call("OPTIONS", "/v1/members", **pages),
        "reused_key": lambda: client.post("/v1/members", {"name": "B"}, Idempotency_Key="k"),
        "oversized_body": lambda: client.post("/v1/members", b" " * (2 << 20)),
        "flood": lambda: slow.get("/v1/members"),
    }
    elsewhere = msgspec.structs.replace(settings, admin_networks="192.0.2.0/24")
    async with running(elsewhere) as (_, url):
        root = Client(client.session, url, bearer(token(None)))
        asks["foreign_network"] = lambda: root.get("/v1/programs")
        assert asks.keys() == set(unusual.KINDS.values())
        for kind, ask in asks.items():
            before = {one: counted("unusual_use", kind=one) for one in asks}
            assert (await ask()).status >= 400
            after = {one: counted("unusual_use", kind=one) for one in asks}
            assert after == {**before, kind: before[kind] + 1}, kind


async def test_failed_sign_ins_are_counted_by_how_they_were_tried(client: Client, app: App) -> None:
    program_id = people.program(client)
    await people.member(client, app)
    anybody = Client(client.session, client.url, {"Stampgate-Program": program_id})
    email = {"email": "asha@example.com"}
    await anybody.post("/v1/auth/otp/send", email)
    wrong = postbox.wrong(await postbox.code(app))

    def refused() -> list[float]:
        tries = [counted("sign_ins", method=one, outcome="refused") for one in ("password", "code")]
        return [*tries, counted("codes", purpose="sign_in", outcome="wrong")]

    before = refused()
    assert (await people.log_in(client, program_id, password="wrong")).status == 401
    assert (await people.log_in(client, program_id, email="nobody@example.com")).status == 401
    assert (await anybody.post("/v1/auth/otp/verify", {**email, "code": wrong})).status == 422
    assert [new - old for old, new in zip(before, refused(), strict=True)] == [2, 1, 1]
