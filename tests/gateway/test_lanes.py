"""Both lanes of `POST /v1/awards` give the same bytes the same answer and decide the same."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis.asyncio import Redis

from core import events, tokens
from core.settings import Settings
from db import keys
from gateway.app import App
from gateway.dispatch import Dispatch
from tests import lanes
from tests.gateway.conftest import RING, Client, open_all, speaking, token
from tests.lanes import Pace, Piece, Said, Speaker
from web import server

START = b"POST /v1/awards HTTP/1.1\r\n"
_TIME = re.compile(rb'"(id|created_at|occurred_at)":"[^"]+"')
_REQUEST_ID = re.compile(rb"(?<=Request-Id: )[0-9a-f]{12}-[0-9a-f]+")
_LENGTH = re.compile(rb"(?<=Content-Length: )2\d\d$")
_WAIT = re.compile(rb"(?<=possible in )\d+|(?<=;t=)\d+|(?<=;r=)\d{4,}|(?<=Retry-After: )\d+")


class Pair(NamedTuple):
    """A gateway with the fast lane and one without, each with a Redis database of its own."""

    fast: Speaker
    ordinary: Speaker
    apps: tuple[App, App]
    redises: tuple[Redis, Redis]
    member: bytes
    bearer: bytes

    def request(self, key: bytes = b"k", *lines: bytes, body: bytes | None = None) -> bytes:
        """A plain award, with these lines more."""
        if body is None:
            body = b'{"member":"%b","kind":"points","amount":2}' % self.member
        return self.headed(b"Idempotency-Key: " + key, *lines, body=body)

    def headed(self, *lines: bytes, body: bytes, length: int | None = None) -> bytes:
        """A request with these lines."""
        size = b"Content-Length: %d" % (len(body) if length is None else length)
        fixed = (b"Host: api.example", b"Authorization: Bearer " + self.bearer)
        return START + b"\r\n".join([*fixed, *lines, size, b"", body])

    async def hear(self, pieces: list[Piece]) -> tuple[Said, Said]:
        """What both say to the pieces; they, what they decided and count must be the same."""
        fast = await self.fast.hear(pieces)
        ordinary = await self.ordinary.hear(pieces)
        assert counted(self.fast) == counted(self.ordinary), pieces
        ours, theirs = [await decided(redis) for redis in self.redises]
        assert (*heard(fast), ours) == (*heard(ordinary), theirs), pieces
        return fast, ordinary


def counted(speaker: Speaker) -> dict[tuple[str, int], int]:
    """Answers by route and status."""
    dispatch = speaker.server.request_handler
    assert isinstance(dispatch, Dispatch)
    return dispatch.requests._counts


async def decided(redis: Redis) -> list[tuple[object, ...]]:
    """The events of all partitions, without their times."""
    async with redis.pipeline(transaction=False) as pipeline:
        for partition in range(keys.AWARD_PARTITIONS):
            _ = pipeline.xrange(keys.award_stream(partition))
        streams: list[Any] = await pipeline.execute()
    return [
        (event.account, event.amount, event.balance, event.facts.idempotency_key,
         event.facts.body_hash, event.facts.reason, event.facts.caller)
        for entries in streams
        for _, fields in entries
        for event in events.decode_points(fields[b"e"])
    ]  # fmt: skip


def heard(said: Said) -> tuple[object, bool]:
    """What is the same in both lanes."""
    return said.answers(masked), said.is_open


def masked(text: bytes) -> bytes:
    # The lanes decide in different milliseconds, and a whole second is written without a fraction.
    text = _LENGTH.sub(b"2**", text)
    return _WAIT.sub(b"*", _REQUEST_ID.sub(b"*", _TIME.sub(rb"\1", text)))


@pytest.fixture
async def pair(
    settings: Settings,
    client: Client,
    redis: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Pair]:
    monkeypatch.setattr(server, "LINGERING_S", 0.02)
    other_url = redis_url + ("&" if "?" in redis_url else "?") + "db=9"
    ordinary = msgspec.structs.replace(settings, redis_url=other_url, fast_lane=False)
    async with contextlib.AsyncExitStack() as stack:
        other = await stack.enter_async_context(Redis.from_url(other_url))
        await other.flushdb()
        await open_all(other)
        served = [
            await stack.enter_async_context(speaking(chosen)) for chosen in (settings, ordinary)
        ]
        made = await client.post("/v1/members", {})
        pair = Pair(
            served[0][1],
            served[1][1],
            (served[0][0], served[1][0]),
            (redis, other),
            made.body["id"].encode(),
            client.headers["Authorization"].partition(" ")[2].encode(),
        )
        # From here on both know the program and the member.
        await pair.hear([Piece(pair.request(b"first"))])
        yield pair


async def test_plain_award_is_answered_in_the_fast_lane(pair: Pair) -> None:
    line = await pair.fast.call()
    for key in (b"a", b"a", b"b"):
        await line.say(Piece(pair.request(key)))
    assert line.protocol._request_count == 0
    assert (await line.end()).statuses == [201, 201, 201]


async def test_member_that_redis_does_not_know_is_asked_of_postgres(
    pair: Pair, client: Client
) -> None:
    made = await client.post("/v1/members", {})
    member = made.body["id"]
    (program,) = pair.apps[0].rules._known
    await pair.apps[0].points.close_accounts(program, member)
    body = b'{"member":"%b","kind":"points","amount":2}' % member.encode()
    line = await pair.fast.call()
    await line.say(Piece(pair.request(b"new", body=body)))
    assert line.protocol._request_count == 0
    assert (await line.end()).statuses == [201]
    await pair.ordinary.hear([Piece(pair.request(b"new", body=body))])
    await pair.hear([Piece(pair.request(b"new", body=body))])


async def test_without_postgres_only_a_known_member_is_awarded(pair: Pair) -> None:
    for app in pair.apps:
        await app.pool.close()
    body = b'{"member":"mem_01h455vb4pex5vsknk084sn02q","kind":"points","amount":2}'
    said, _ = await pair.hear([Piece(pair.request(b"x")), Piece(pair.request(b"y", body=body))])
    assert said.statuses == [201, 503]


async def test_award_split_anywhere_gets_the_same_answer(pair: Pair) -> None:
    data = pair.request(b"split")
    for place in range(len(data) + 1):
        said, _ = await pair.hear([*lanes.cut(data, [place], "read"), Piece(pair.request())])
        assert said.statuses == [201, 201]


async def test_award_that_comes_byte_by_byte_gets_the_same_answer(pair: Pair) -> None:
    data = pair.request(b"slow")
    said, _ = await pair.hear([*lanes.cut(data, range(len(data)), "read"), Piece(data)])
    assert said.statuses == [201, 201]


async def test_body_means_the_same_in_both_lanes(pair: Pair) -> None:
    member = pair.member
    good = b'{"member":"%b","kind":"points","amount":2}' % member
    bodies = [
        b"", b"{}", b"[]", b"null", b"{", b"\x00", b"\xff", b'"\xed\xa0\x80"', good + b" ",
        good + b"x", good[:-1], b"\xef\xbb\xbf" + good, good.replace(b"points", b"stamps"),
        good.replace(b"2}", b'2,"amount":3}'), good.replace(b"2}", b'2,"reason":"a\\u0000"}'),
        good.replace(b"2}", b"0}"), good.replace(b"2}", b"-1}"), good.replace(b"2}", b"1e1}"),
        good.replace(b"2}", b"9007199254740992}"), good.replace(b"2}", b'2,"more":1}'),
        good.replace(b"2}", b'2,"reason":"caf\xc3\xa9","reference":""}'),
        good.replace(b"2}", b'2,"occurred_at":"2026-01-01T00:00:00Z"}'),
        good.replace(b"2}", b'2,"occurred_at":"1999-01-01T00:00:00Z"}'),
        good.replace(b"2}", b'2,"occurred_at":"2026-01-01T00:00:00"}'),
        good.replace(member, b"mem_01h455vb4pex5vsknk084sn02q"), good.replace(member, b"x" * 65),
        good.replace(b"2}", b'2,"reason":"' + b"a" * 255 + b'"}'), b"[" * 5_000,
        b" " * 9_000 + good,
        good + b" " * (8_192 - len(good)), good + b" " * (8_193 - len(good)),
    ]  # fmt: skip
    for number, body in enumerate(bodies):
        data = pair.request(b"body%d" % number, body=body)
        await pair.hear([Piece(data), Piece(data), Piece(pair.request())])


async def test_limited_callers_are_told_the_same_in_both_lanes(pair: Pair) -> None:
    program = tokens.verify(RING, pair.bearer.decode(), int(time.time())).program_id
    for rate in (1, 3, 100_000):
        limited = token(program, rate_per_minute=rate).encode()
        for number in range(5):
            data = pair.request(b"%d-%d" % (rate, number)).replace(pair.bearer, limited)
            await pair.hear([Piece(data), Piece(data)])


async def test_header_means_the_same_in_both_lanes(pair: Pair) -> None:
    body = b'{"member":"%b","kind":"points","amount":2}' % pair.member
    key = b"Idempotency-Key: "
    expired, foreign = (
        token(None, ttl_s=-60).encode(), token("prg_01h455vb4pex5vsknk084sn02q").encode()
    )  # fmt: skip
    heads: list[tuple[bytes, ...]] = [
        (), (key,), (key + b"a", key + b"a"), (key + b"a", b"idempotency-key: b"),
        (key + b'"a b"',), (key + b'""',), (key + b"a b",), (key + b"a\tb",), (key + b"\t a \t",),
        (key + b"x" * 255,), (key + b"x" * 256,), (key + b"caf\xc3\xa9",), (key + b"\x00",),
        (b"IDEMPOTENCY-KEY:up",), (b"Idempotency-Key : a",), (key + b"a", b" folded"),
        (key + b" " * 7_000 + b"\x80",), (key + b"a\rContent-Length: 3",), (key + b"a\n",),
        (key + b"c", b"Content-Length: %d" % len(body)), (key + b"d", b"Content-Length: 0"),
        (key + b"e", b"Transfer-Encoding: chunked"), (key + b"f", b"Content-Encoding: gzip"),
        (key + b"g", b"Content-Type: text/plain"), (key + b"h", b"Content-Type: application/json"),
        (key + b"i", b"X-Request-Id: mine"), (key + b"j", b"Request-Id: mine"),
        (key + b"k", b"X-Request-Id: not sane"), (key + b"l", b"X-Request-Id: a\r\nRequest-Id: b"),
        (key + b"m", b"Connection: close"), (key + b"n", b"Expect: 100-continue"),
        (key + b"o", b"Authorization: Bearer x"), (key + b"p", b"Host: other"),
        (key + b"q", b"Stampgate-Program: prg_01h455vb4pex5vsknk084sn02q"),
        (key + b"r", b"Stampgate-Program:"), (key + b"s", b"Upgrade: h2c", b"Connection: upgrade"),
        (key + b"t", b"Proxy-Connection: close"), (key + b"u", b"X: \xe9"),
        (key + b"v", b"Origin: https://shop.example"), (key + b"w", b"If-None-Match: *"),
        (key, b"Accept-Language: de"), (key, b"Accept-Language: tlh, fr;q=0.5"),
        (key + b"x", b"Accept-Encoding: gzip, br"), (key + b"y", b"X-Forwarded-For: 192.0.2.1"),
    ]  # fmt: skip
    plain = pair.request(b"z")
    tokens = [b"", b"x", pair.bearer[:-2] + b"xx", expired, foreign, b" " + pair.bearer]
    asked = [pair.headed(*lines, body=body) for lines in heads]
    asked += [plain.replace(pair.bearer, other) for other in tokens]
    asked += [plain.replace(b"Bearer ", kind) for kind in (b"", b"bearer ", b"Basic ", b"Bearer\t")]
    for data in asked:
        await pair.hear([Piece(data), Piece(data), Piece(plain)])


async def test_framing_means_the_same_in_both_lanes(pair: Pair) -> None:
    body = b'{"member":"%b","kind":"points","amount":2}' % pair.member
    key = b"Idempotency-Key: f"
    plain = pair.request(b"z")
    chunked = pair.headed(key, b"Transfer-Encoding: chunked", body=body)
    asked = [
        pair.headed(key, body=body, length=len(body) - 1),
        pair.headed(key, body=body, length=len(body) + 1),
        pair.headed(key, body=body, length=100_000),
        pair.headed(key, body=body, length=10_000_000),
        plain + b"\r\n",
        plain + b"x",
        plain * 2,
        plain.replace(b"\r\n", b"\n"),
        plain.replace(b"HTTP/1.1", b"HTTP/1.0"),
        plain.replace(b"POST", b"post", 1),
        plain.replace(b"POST", b"PUT", 1),
        plain.replace(b"awards", b"awards?x=1", 1),
        plain.replace(b"awards", b"awards/", 1),
        plain.replace(b"awards", b"%61wards", 1),
        plain.replace(b"/v1", b"http://api.example/v1", 1),
        chunked,
        re.sub(rb"Content-Length: \d+\r\n", b"", chunked),
        re.sub(rb"(Content-Length): (\d+)", rb"Idempotency-Key: \2", plain),
        re.sub(rb"Idempotency-Key: z", b"Content-Length: %d" % len(body), plain),
        *(re.sub(rb"(Content-Length: )(\d+)", rb"\g<1>" + wrong, plain) for wrong in (
            b"0\\2", b"+\\2", b"-\\2", b"\\2, \\2", b"\\2 ", b"0x\\2", b"\\2\\2\\2\\2\\2\\2", b"",
        )),
    ]  # fmt: skip
    paces: tuple[Pace, ...] = ("at once", "rest")
    for data, pace in itertools.product(asked, paces):
        await pair.hear([Piece(data, pace), Piece(plain)])
        await pair.hear([Piece(plain, pace), Piece(data, pace), Piece(plain)])


LINES = [
    b"Idempotency-Key: b", b"Connection: close", b"Transfer-Encoding: chunked", b"Host: y",
    b"Content-Length: 3", b"X: \x80", b" folded", b"Expect: x", b"Upgrade: h2c", b"X-Request-Id: r",
    b"Authorization: Bearer x", b"Content-Type: application/json", b"Proxy-Connection: close",
]  # fmt: skip
BODIES = [None, None, None, b"", b"{}", b"{", b'{"member":"x","kind":"points","amount":1}']


@examples(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_same_bytes_get_the_same_answers_and_the_same_end(
    pair: Pair, data: st.DataObject
) -> None:
    draw = data.draw
    asked = b""
    for _ in range(draw(st.integers(1, 3))):
        lines = draw(st.lists(st.sampled_from(LINES), max_size=2))
        key = draw(st.sampled_from([b"a", b"b", b'"c d"', b"", b"e f"]))
        asked += pair.request(key, *lines, body=draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(asked)))
        bad = draw(st.sampled_from([b"", b"\r", b"\n", b"\x00", b"\xff", b" ", b":", b"0"]))
        asked = asked[:place] + bad + asked[place + draw(st.integers(0, 1)) :]
    starts = [match.start() for match in re.finditer(rb"POST |\r\n\r\n", asked)]
    places = draw(st.lists(st.integers(0, len(asked)) | st.sampled_from([0, *starts]), max_size=5))
    pace: Pace = draw(st.sampled_from(["rest", "read", "at once"]))
    await pair.hear([*lanes.cut(asked, places, pace), Piece(pair.request(b"z"))])
