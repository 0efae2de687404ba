"""What goes on the Redis streams: click batches and points events, as msgpack arrays.

Arrays, not maps: a stream entry is written once per batch on the hot path and read once by the
flusher, and both sides are this file.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from core import ledger

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


class Click(NamedTuple):
    """One followed link, as the redirector saw it. `address` is already cut to /24 or /48."""

    click_id: str
    link_id: str
    program_id: str
    hit_class: int
    reasons: tuple[str, ...]
    address: str | None
    country: str | None
    user_agent: str | None
    referrer: str | None
    privacy_signal: bool
    member_id: str | None
    variant: str | None
    parameters: dict[str, str] | None
    preminted: bool


class ClickBatch(NamedTuple):
    """One stream entry: the clicks of one group commit; (boot, number) marks it as applied."""

    boot: int
    number: int
    clicks: list[Click]


class PointsFacts(NamedTuple):
    """What the gateway knows of a points event before the script decides it."""

    type: ledger.Type
    caller: str
    idempotency_key: str
    body_hash: bytes
    reason: str | None
    reference: str | None
    occurred_at_ms: int
    recorded_at_ms: int
    related: str | None
    expires_at_ms: int | None


class PointsEvent(NamedTuple):
    """One decided points event. `account` is `program:member:p|s`, `balance` what is available
    then, `remainder` what a partial capture gives back.
    """

    amount: int
    balance: int
    remainder: int
    account: str
    facts: PointsFacts


UNITS = {"p": "points", "s": "stamps"}
UNIT_LETTERS = {"points": "p", "stamps": "s"}

_decode_clicks = msgspec.msgpack.Decoder(ClickBatch).decode
_decode_points = msgspec.msgpack.Decoder(list[PointsEvent]).decode
_decode_raw_points = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_raw_batch = msgspec.msgpack.Decoder(tuple[int, int, list[msgspec.Raw]]).decode


def decode_clicks(payload: bytes) -> ClickBatch:
    """The batch of one click stream entry, or msgspec.DecodeError."""
    return _decode_clicks(payload)


def decode_points(payload: bytes) -> list[PointsEvent]:
    """The events of one points stream entry, or msgspec.DecodeError."""
    return _decode_points(payload)


def count_points(payload: bytes) -> int:
    """How many events an entry holds, by its first bytes alone; 1 for one that is no list."""
    if payload[:1] == b"\xdc" and len(payload) > 2:
        return int.from_bytes(payload[1:3], "big")
    return payload[0] & 15 if payload and 0x90 <= payload[0] <= 0x9F else 1


def split_points(payload: bytes) -> list[bytes]:
    """The entry's events undecoded, to set a single bad one aside."""
    return [bytes(raw) for raw in _decode_raw_points(payload)]


def split_clicks(payload: bytes) -> tuple[int, int, list[bytes]]:
    """Boot, number and the undecoded clicks of one entry, to set a single bad one aside."""
    boot, number, raws = _decode_raw_batch(payload)
    return boot, number, [bytes(raw) for raw in raws]


def decode_click(payload: bytes) -> Click:
    """One click of `split_clicks`, or msgspec.DecodeError."""
    return msgspec.msgpack.decode(payload, type=Click)


def decode_points_event(payload: bytes) -> PointsEvent:
    """One event of `split_points`, or msgspec.DecodeError."""
    return msgspec.msgpack.decode(payload, type=PointsEvent)


def account_field(program_id: str, member_id: str, unit: str) -> str:
    """The balance hash's field of a member's account in a unit, points or stamps."""
    return f"{program_id}:{member_id}:{UNIT_LETTERS[unit]}"


def parse_account(field: str) -> tuple[str, str, str]:
    """Program, member and unit of a balance field; ValueError if it is none."""
    program_id, member_id, letter = field.split(":")
    if letter not in UNITS:
        raise ValueError(field)
    return program_id, member_id, UNITS[letter]
