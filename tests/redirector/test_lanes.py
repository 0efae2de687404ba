"""Both lanes give the same bytes the same answer, the same end and the same click."""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core import clickid
from core.events import Click
from db import keys
from db.redis import Connection
from redirector.state import State
from tests import lanes
from tests.lanes import Pace, Piece, Said, Speaker
from tests.redirector.conftest import Publish, Start, recorded
from web import server

HOST = b"Host: go.example\r\n"
AGENT = b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0\r\nAccept: text/html\r\n"
PLAIN = b"GET /r/demo HTTP/1.1\r\n" + HOST + AGENT + b"Accept-Language: en\r\n\r\n"
HALF = b"GET /r/demo HTTP/1.1\r\n" + HOST + b"X: "
SENTINEL = b"GET /r/last HTTP/1.1\r\n" + HOST + AGENT + b"\r\n"
_CLICK_ID = re.compile(rb"(?<=subid=)[0-9a-z]{32}")


def target(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n"


def headed(*lines: bytes) -> bytes:
    return b"GET /r/demo HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


class Pair(NamedTuple):
    """A redirector with the fast lane and one without."""

    fast: Speaker
    ordinary: Speaker
    states: tuple[State, State]
    connection: Connection

    async def hear(self, pieces: list[Piece]) -> tuple[Said, Said]:
        """What both say to the pieces; they and what they recorded must be the same."""
        fast = await self.fast.hear(pieces)
        ordinary = await self.ordinary.hear(pieces)
        ours, theirs = await self.clicks()
        assert (*heard(fast), ours) == (*heard(ordinary), theirs), pieces
        return fast, ordinary

    async def clicks(self) -> tuple[list[Click], list[Click]]:
        """What each of them has recorded since the last time, without the ids."""
        found: dict[int, list[Click]] = {}
        for state in self.states:
            await state.recorder.commit.drain()
            found[state.recorder.commit._boot] = []
        for click in sorted(await recorded(self.connection), key=lambda click: click.click_id):
            boot = clickid.decode(click.click_id).boot
            found[boot].append(click._replace(click_id=""))
        for partition in range(keys.CLICK_PARTITIONS):
            await self.connection.call("DEL", keys.click_stream(partition))
        first, second = found.values()
        return first, second


def heard(said: Said) -> tuple[object, bool]:
    """What is the same in both lanes."""
    return said.answers(masked), said.is_open


def masked(text: bytes) -> bytes:
    return _CLICK_ID.sub(b"*", text)


@pytest.fixture
async def pair(
    start: Start, publish: Publish, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> Pair:
    monkeypatch.setattr(server, "LINGERING_S", 0.02)
    for slug in ("demo", "last"):
        await publish(slug)
    await publish("plain", destination="https://shop.example/")
    await publish("ruled", query_mode="append")
    fast, ordinary = await start(fast_lane=True), await start(fast_lane=False)
    made = Pair(fast.speaker, ordinary.speaker, (fast.state, ordinary.state), connection)
    for path in (b"/r/demo", b"/r/last", b"/r/plain", b"/r/ruled"):
        await made.hear([Piece(target(path))])
    return made


async def test_plain_request_is_answered_in_the_fast_lane(pair: Pair) -> None:
    line = await pair.fast.call()
    await line.say(Piece(PLAIN))
    assert line.protocol._request_count == 0
    assert (await line.end()).statuses == [302]


async def test_request_split_anywhere_gets_the_same_answer(pair: Pair) -> None:
    for place in range(len(PLAIN) + 1):
        said, _ = await pair.hear([*lanes.cut(PLAIN, [place], "read"), Piece(SENTINEL)])
        assert said.statuses == [302, 302]


REQUEST_LINES = [
    *(target(path) for path in (
        b"/r/demo?sub1=a", b"/r/demo?", b"/r/demo#top", b"/r/d%65mo", b"/r/demo/", b"/r/demo/x",
        b"/r/demo+", b"/r/demo.svg", b"/r/nothing", b"/r/", b"/r/" + b"a" * 65, b"//r/demo",
        b"/R/demo", b"/r//demo", b"/./r/demo", b"http://go.example/r/demo", b"*", b"r/demo",
        b"/r/demo\x00", b"/r/d\xc3\xa9mo", b"/r/d\xe9mo", b"/r/demo\\", b"/r/demo HTTP/1.1", b"",
        b"/r/demo\tx", b"/r/ruled", b"/r/plain", b"/health/live", b"/r/demo/unlock",
    )),
    *(PLAIN.replace(b"GET", method, 1) for method in (
        b"HEAD", b"get", b"POST", b"PUT", b"OPTIONS", b"CONNECT", b"GETS", b"PRI", b" GET",
        b"\r\nGET", b"\nGET", b"GET\t", b"TRACE", b"DESCRIBE",
    )),
    *(PLAIN.replace(b"HTTP/1.1", version, 1) for version in (
        b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1.",
        b" HTTP/1.1", b"HTTP/1.1\r", b"RTSP/1.1", b"HTTP/11",
    )),
]  # fmt: skip


async def test_request_that_comes_byte_by_byte_gets_the_same_answer(pair: Pair) -> None:
    said, _ = await pair.hear([*lanes.cut(PLAIN, range(len(PLAIN)), "read"), Piece(SENTINEL)])
    assert said.statuses == [302, 302]


async def test_request_line_means_the_same_in_both_lanes(pair: Pair) -> None:
    for data in REQUEST_LINES:
        await pair.hear([Piece(data), Piece(SENTINEL)])
        await pair.hear([Piece(data + SENTINEL)])


HEADS = [*(headed(*lines) for lines in (
    (), (b"Host:",), (b"Host: a", b"Host: a"), (b"Host: a", b"Host: b"), (b"Host: a b",),
    (b"Host: a@b",), (b"Host: [::1]:80",), (b"Host: \xe9",), (b"host:x",), (b"HOST:\tx\t ",),
    (b"Host : x",), (b" Host: x",), (b"Host: x", b" folded"), (b"Host: x", b"\tfolded: y"),
    (b"Host: x", b"X: a\nb"), (b"Host: x", b"X: a\rb"), (b"Host: x", b"X: a\x00b"),
    (b"Host: x", b"X: \x7f"), (b"Host: x", b"User-Agent: caf\xe9"), (b"Host: x", b"X"),
    (b"Host: x", b": y"), (b"Host: x", b"X Y: z"), (b"Host: x", b"X\x00: z"),
    (b"Host: x", b"Content-Length: 0"), (b"Host: x", b"Content-Length: 5"),
    (b"Host: x", b"Content-Length: 0", b"Content-Length: 0"), (b"Host: x", b"Content-Length: -1"),
    (b"Host: x", b"Content-Length: 0", b"Content-Length: 5"), (b"Host: x", b"Content-Length: +0"),
    (b"Host: x", b"Content-Length: 0x0"), (b"Host: x", b"Content-Length:"),
    (b"Host: x", b"Content-Length: 0, 0"), (b"Host: x", b"Content-Length: 0 "),
    (b"Host: x", b"Transfer-Encoding: chunked"), (b"Host: x", b"Transfer-Encoding: identity"),
    (b"Host: x", b"Transfer-Encoding : chunked"), (b"Host: x", b"Transfer-Encoding: xchunked"),
    (b"Host: x", b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    (b"Host: x", b"Transfer-Encoding:\x0bchunked"), (b"Host: x", b"Transfer-Encoding: chunked, x"),
    (b"Host: x", b"Connection: close"), (b"Host: x", b"Connection: keep-alive"),
    (b"Host: x", b"Connection: Keep-Alive, close"), (b"Host: x", b"Connection: upgrade"),
    (b"Host: x", b"Proxy-Connection: close"), (b"Host: x", b"Connection:"),
    (b"Host: x", b"Connection: Upgrade", b"Upgrade: websocket"),
    (b"Host: x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAM"),
    (b"Host: x", b"Upgrade: websocket"), (b"Host: x", b"Sec-WebSocket-Key1: 4"),
    (b"Host: x", b"Expect: 100-continue"), (b"Host: x", b"Expect: nothing"),
    (b"Host: x", b"TE: trailers"), (b"Host: x", b"Trailer: X"), (b"Host: x", b"Keep-Alive: 5"),
    (b"Host: x", b"Content-Encoding: gzip"), (b"Host: x", b"Sec-Purpose: prefetch"),
    (b"Host: x", b"DNT: 1"), (b"Host: x", b"DNT: 1", b"dnt: 0"), (b"Host: x", b"Sec-GPC: 1"),
    (b"Host: x", b"User-Agent: a", b"User-Agent: b"), (b"Host: x", b"User-Agent:   "),
    (b"Host: x", b"User-Agent: " + b"a" * 600), (b"Host: x", b"X: " + b"a" * 7_900),
    (b"Host: x", b"X: " + b"a" * 8_300), (b"Host: x", b"X: " + b" " * 7_900 + b"\x80"),
    (b"Host: x", b"A" * 300 + b": b"), (b"Host: x", b"Referer: https://a.example/?q=1"),
    (b"Host: x", b"Referer: \xc3\xa9"), (b"Host: x", b"X-Forwarded-For: 10.0.0.1"),
    (b"Host: x", *(b"X%d: y" % number for number in range(70))),
    (b"Host: x", *(b"X%d: y" % number for number in range(200))),
))]  # fmt: skip


async def test_header_means_the_same_in_both_lanes(pair: Pair) -> None:
    for data in HEADS:
        await pair.hear([Piece(data), Piece(SENTINEL)])
        await pair.hear([Piece(PLAIN), Piece(data + SENTINEL)])


CHUNKS = [
    PLAIN.replace(b"\r\n", b"\n"),
    PLAIN[:-2] + b"\n",
    PLAIN.replace(b"\r\n", b"\r"),
    PLAIN + b"\r\n",
    PLAIN + b"garbage",
    PLAIN + b"\x00",
    PLAIN[:-2] + b"Content-Length: 4\r\n\r\nabc",
    PLAIN[:-2] + b"Content-Length: 3\r\n\r\nabc",
    PLAIN[:-2] + b"Content-Length: 2\r\n\r\nabc",
    PLAIN[:-2] + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    PLAIN[:-2] + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0",
    PLAIN * 2,
    PLAIN * 70,
    (PLAIN + target(b"/health/live")) * 3,
    b"\r\n\r\n" + PLAIN,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


async def test_chunk_that_is_not_one_request_means_the_same(pair: Pair) -> None:
    paces: tuple[Pace, ...] = ("at once", "rest")
    for data, pace in itertools.product(CHUNKS, paces):
        await pair.hear([Piece(data, pace), Piece(SENTINEL)])
        await pair.hear([Piece(PLAIN, pace), Piece(data, pace), Piece(SENTINEL, pace)])


LINES = [
    b"Host: x", b"Host: x", b"Host: y z", b"Connection: close", b"Connection: keep-alive",
    b"Content-Length: 0", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"X: \x80",
    b"User-Agent: curl/8", b"Accept: */*", b" folded", b"DNT: 1", b"Upgrade: h2c", b"Expect: x",
    b"Proxy-Connection: close", b"Sec-Purpose: prefetch", b"Content-Length: 03", b"X:\t y \t",
]  # fmt: skip
TARGETS = [b"/r/demo", b"/r/plain", b"/r/ruled", b"/r/no", b"/r/demo?a=b", b"/health/live", b"/x"]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, as often as not a plain one."""
    if draw(st.booleans()):
        return PLAIN
    method = draw(st.sampled_from([b"GET", b"GET", b"HEAD", b"POST", b"get"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    lines = [b" ".join([method, draw(st.sampled_from(TARGETS)), version])]
    lines += [b"Host: x", *draw(st.lists(st.sampled_from(LINES), max_size=3))]
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n"]))
    body = draw(st.sampled_from([b"", b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n"]))
    return end.join([*lines, b"", body])


@st.composite
def streams(draw: st.DrawFn) -> list[Piece]:
    """Some requests, perhaps damaged, in pieces."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=4)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(data)))
        bad = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\x00", b"\xff", b" ", b":", b"G"])
        )
        data = data[:place] + bad + data[place + draw(st.integers(0, 1)) :]
    ends = [match.end() for match in re.finditer(rb"\r\n\r\n", data)]
    places = draw(st.lists(st.integers(0, len(data)) | st.sampled_from([0, *ends]), max_size=5))
    pace: Pace = draw(st.sampled_from(["rest", "read", "at once"]))
    return [*lanes.cut(data, places, pace), Piece(SENTINEL)]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=streams())
@example(pieces=[Piece(target(b"/r/ruled"), "read"), Piece(HALF), Piece(PLAIN), Piece(PLAIN)])
@example(
    pieces=[Piece(PLAIN, "at once"), Piece(PLAIN, "at once"), Piece(PLAIN + b"G"), Piece(PLAIN)]
)
async def test_same_bytes_get_the_same_answers_and_the_same_end(
    pair: Pair, pieces: list[Piece]
) -> None:
    await pair.hear(pieces)
