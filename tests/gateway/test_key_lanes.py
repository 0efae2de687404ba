"""API keys in both lanes of `POST /v1/awards`: the same answers, the same count of uses."""

from __future__ import annotations

from core import apikeys
from tests.gateway import people
from tests.gateway.conftest import Client
from tests.gateway.test_lanes import START, Pair, pair
from tests.lanes import Piece

__all__ = ["pair"]


def keyed(pair: Pair, number: int, *lines: bytes) -> bytes:
    """An award with these lines as its credential."""
    body = b'{"member":"%b","kind":"points","amount":2}' % pair.member
    fixed = (b"Host: api.example", b"Idempotency-Key: n%d" % number)
    return START + b"\r\n".join([*fixed, *lines, b"Content-Length: %d" % len(body), b"", body])


def uses(pair: Pair) -> list[dict[str, int]]:
    """Uses that are not written yet, by key, in each lane."""
    counted = [app.credentials._uses for app in pair.apps]
    return [{key: use.requests for key, use in uses.items()} for uses in counted]


async def key(staff: Client, client: Client, scope: str) -> bytes:
    """A key of the client's program that is not limited, as only the platform makes one."""
    body = {"name": scope, "scopes": [scope], "rate_per_minute": 0}
    made = await staff.post("/v1/api-keys", body, Stampgate_Program=people.program(client))
    assert made.status == 201
    return str(made.body["key"]).encode()


async def test_a_key_means_the_same_in_both_lanes(
    pair: Pair, client: Client, staff: Client
) -> None:
    good = await key(staff, client, "awards:write")
    poor = await key(staff, client, "links:read")
    unknown = apikeys.new(bytes(40)).encode()
    credentials = [
        (b"X-API-Key: " + good,), (b"x-api-key:" + good,), (b"Authorization: Bearer " + good,),
        (b"X-API-Key: " + good + b" \t",), (b"X-API-Key: " + poor,), (b"X-API-Key: " + unknown,),
        (b"X-API-Key: " + good[:-1],), (b"X-API-Key: ",), (b"X-API-Key: " + pair.bearer,),
        (b"X-API-Key: " + good, b"X-API-Key: " + good), (b"X-API-Key: " + good.upper(),),
        (b"X-API-Key: " + good, b"Authorization: Bearer " + pair.bearer),
        (b"X-API-Key: " + good, b"Stampgate-Program: prg_01h455vb4pex5vsknk084sn02q"),
    ]  # fmt: skip
    for number, lines in enumerate(credentials):
        data = keyed(pair, number, *lines)
        await pair.hear([Piece(data), Piece(data), Piece(pair.request(b"z"))])
        fast, ordinary = uses(pair)
        assert fast == ordinary


async def test_a_known_key_takes_the_fast_lane(pair: Pair, client: Client, staff: Client) -> None:
    header = b"X-API-Key: " + await key(staff, client, "awards:write")
    line = await pair.fast.call()
    for number in range(3):
        await line.say(Piece(keyed(pair, number, header)))
    # The first had to be looked up.
    assert line.protocol._request_count == 1
    assert (await line.end()).statuses == [201, 201, 201]
    assert list(uses(pair)[0].values()) == [3]
