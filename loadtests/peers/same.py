"""Whether a peer does the whole job: the same answers, ids and events as ours, before it counts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from itertools import takewhile
from typing import Any, Final, NamedTuple

import msgspec
import redis as redis_py

from core import clickid, events, ids
from core.errors import BadId, ForgedClickId
from core.events import Click
from core.keyring import KeyRing
from db import keys
from loadtests import datasets, stack
from loadtests.seed import Seed

TIMEOUT_S: Final = 10.0
# Entries of a stream that are looked through for a click.
RECENT: Final = 20
TRIES: Final = 3
UNKNOWN_SLUG: Final = "no-such-link"
# What each server adds of its own; all else has to be equal.
OWN_HEADERS: Final = frozenset({"date", "connection", "keep-alive", "location"})
VISITS: Final[Mapping[str, tuple[str, dict[str, str]]]] = {
    "a browser": ("GET", dict(datasets.BROWSER)),
    "an old browser": ("GET", {"User-Agent": "Opera/9.80 (Windows NT 6.1)"}),
    "a frame": ("GET", {**datasets.SHORT, "Sec-Fetch-Dest": "iframe"}),
    "curl": ("GET", {"User-Agent": "curl/8.5.0", "Accept": "*/*"}),
    "a crawler": ("GET", {"User-Agent": "Mozilla/5.0 (compatible; examplebot/2.1)"}),
    "a preview": ("GET", {"User-Agent": "WhatsApp/2.23.20.0"}),
    "nothing": ("GET", {}),
    "privacy": ("GET", {**datasets.SHORT, "Sec-GPC": "1", "Referer": "https://a.example/"}),
    "do not track": ("GET", {**datasets.BROWSER, "DNT": "1"}),
    "a prefetch": ("GET", {**datasets.SHORT, "Sec-Purpose": "prefetch;prerender"}),
    "a look": ("HEAD", dict(datasets.SHORT)),
}


class Answer(NamedTuple):
    """Status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Redirectors:
    """Compares redirectors that record in one Redis."""

    def __init__(self, redis: redis_py.Redis, ring: KeyRing, program_id: str) -> None:
        self._redis = redis
        self._ring = ring
        self._program_id = program_id

    def differences(self, ours: int, theirs: int, slugs: tuple[str, ...]) -> Iterator[str]:
        """What the server on port `theirs` does otherwise than the one on port `ours`."""
        self._forget()
        for slug in (*slugs, UNKNOWN_SLUG):
            for name, (method, headers) in VISITS.items():
                # On a busy machine a click of ours may miss its deadline and go to the spool.
                tries = (
                    [self._facts(port, method, slug, headers) for port in (ours, theirs)]
                    for _ in range(TRIES)
                )
                different = list(takewhile(_differ, tries))
                if len(different) == TRIES:
                    yield f"{name} on {slug}: {different[0][1]} instead of {different[0][0]}"

    def _facts(self, port: int, method: str, slug: str, headers: Mapping[str, str]) -> object:
        answer = _ask(port, method, f"/r/{slug}", headers)
        if answer.status == 404:
            return 404
        named = {name: text for name, text in answer.headers.items() if name not in OWN_HEADERS}
        if answer.status != 302:
            return answer.status, named.get("cache-control"), named.get("x-robots-tag")
        location = answer.headers.get("location", "")
        click = self._only()
        if click is None:
            return named, location
        try:
            clickid.verify(click.click_id, self._program_id, self._ring.click)
        except ForgedClickId:
            return f"the click id {click.click_id} is not valid"
        return named, location.replace(click.click_id, "{click_id}"), click._replace(click_id="")

    def _only(self) -> Click | None:
        """The one click that was recorded since the last time, None if it is not one."""
        found = [
            click
            for partition in range(keys.CLICK_PARTITIONS)
            for _, fields in _entries(self._redis, keys.click_stream(partition))
            for click in events.decode_clicks(fields[b"e"]).clicks
        ]
        self._forget()
        return found[0] if len(found) == 1 else None

    def _forget(self) -> None:
        self._redis.delete(*map(keys.click_stream, range(keys.CLICK_PARTITIONS)))


def _differ(facts: list[object]) -> bool:
    return facts[0] != facts[1]


class Gateways:
    """Compares gateways that decide in one Redis."""

    def __init__(self, redis: redis_py.Redis, seeded: Seed) -> None:
        self._redis = redis
        self._seed = seeded
        self._compared = 0

    def differences(self, ours: int, theirs: int) -> Iterator[str]:
        """What the server on port `theirs` does otherwise than the one on port `ours`."""
        self._compared += 1
        for name, ask in self._asks().items():
            facts = [self._facts(port, *ask) for port in (ours, theirs)]
            if facts[0] != facts[1]:
                yield f"{name}: {facts[1]} instead of {facts[0]}"

    def _asks(self) -> dict[str, tuple[dict[str, str], bytes]]:
        token = datasets.api_headers(self._seed.token)
        keyed = {**token, "Idempotency-Key": "key-{scope}"}
        award: dict[str, Any] = {"member": self._seed.members[0], "kind": "points", "amount": 7}
        encode = msgspec.json.encode
        full = {"reason": "A café", "reference": "r-1", "occurred_at": "2026-01-02T03:04:05+01:00"}
        return {
            "an award": (keyed, encode(award)),
            "the same again": (keyed, encode(award)),
            "the key with another body": (keyed, encode({**award, "amount": 8})),
            "all fields": (
                {**token, "Idempotency-Key": '"quoted key {scope}"'},
                encode({**award, **full}),
            ),
            "no key": (token, encode(award)),
            "a key in two words": ({**token, "Idempotency-Key": "two {scope}"}, encode(award)),
            "a key too long": ({**token, "Idempotency-Key": "k" * 256}, encode(award)),
            "no token": ({"Idempotency-Key": "k"}, encode(award)),
            "a bad token": ({**keyed, "Authorization": "Bearer a.b.c"}, encode(award)),
            "not JSON": (keyed, b"{"),
            "a negative amount": (keyed, encode({**award, "amount": -1})),
            "an amount as text": (keyed, encode({**award, "amount": "7"})),
            "a field too many": (keyed, encode({**award, "more": 1})),
            "nobody": (keyed, encode({**award, "member": ids.new("member", 0, bytes(10))})),
        }

    def _facts(self, port: int, headers: dict[str, str], body: bytes) -> object:
        # Both write to one Redis: the same key of the other one would be a replay.
        scope = f"{port}-{self._compared}"
        own = {name: text.replace("{scope}", scope) for name, text in headers.items()}
        answer = _ask(port, "POST", "/v1/awards", own, body)
        document = msgspec.json.decode(answer.body)
        if answer.status != 201:
            return answer.status, document["code"]
        try:
            ref = ids.parse_event_id(document.pop("id"), "award")
        except BadId as error:
            return str(error)
        created_at, occurred_at = document.pop("created_at"), document.pop("occurred_at")
        facts = (
            answer.headers["content-type"].partition(";")[0],
            answer.headers.get("idempotent-replayed"),
            "now" if occurred_at == created_at else _ms(occurred_at),
            _ms(created_at) == ref.ms,
            document.pop("sequence") == ref.sequence,
            ref.partition == self._partition(document["member"]),
            self._is_recorded(ref, document),
        )
        # Both award to the same member.
        del document["balance"]
        return facts, document

    def _partition(self, member_id: str) -> int:
        return ids.partition_of(self._seed.program_id, member_id, keys.AWARD_PARTITIONS)

    def _is_recorded(self, ref: ids.EventRef, document: Mapping[str, Any]) -> bool:
        """Whether the stream holds the event, under its number, with the balance after it."""
        for entry_id, fields in _entries(self._redis, keys.award_stream(ref.partition)):
            first = int(entry_id.partition(b"-")[2])
            packed = events.decode_points(fields[b"e"])
            if first <= ref.sequence < first + len(packed):
                event = packed[ref.sequence - first]
                return (
                    event.facts.recorded_at_ms == ref.ms
                    and event.balance == document["balance"]
                    and event.facts.reference == document["reference"]
                )
        return False


def _entries(redis: redis_py.Redis, stream: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: Any = redis.xrevrange(stream, count=RECENT)
    return list(found)


def _ask(
    port: int, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Answer:
    connection = HTTPConnection(stack.HOST, port, timeout=TIMEOUT_S)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, text in headers.items():
            connection.putheader(name, text)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        named = {name.lower(): text for name, text in answer.getheaders()}
        return Answer(answer.status, named, content)
    finally:
        connection.close()


def _ms(text: str) -> int:
    """Milliseconds of an RFC 3339 time."""
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)
