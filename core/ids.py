"""Prefixed, sortable ids: a TypeID is a prefix and the base32 form of a UUID version 7.

Most ids carry 74 random bits. The ids of points events (awards, spends, holds, reversals) carry
where the event was decided instead, so that a reversal finds its partition without a lookup:

    48 Unix ms · 4 version · 12 partition · 2 variant · 22 generation · 40 sequence
"""

from __future__ import annotations

import functools
import zlib
from typing import Final, Literal, NamedTuple

from core import base32
from core.errors import BadId

Kind = Literal[
    "program",
    "member",
    "link",
    "merchant",
    "award",
    "spend",
    "hold",
    "reversal",
    "endpoint",
    "delivery",
    "event",
    "job",
    "token",
    "operator",
    "session",
    "key",
    "glass",
    "notification",
    "notice",
    "audit",
    "export",
    "erasure",
    "consent",
    "identity",
    "code",
    "push",
    "transaction",
    "payout_method",
    "withdrawal",
    "adjustment",
    "category",
    "offer",
    "network",
    "postback",
    "conversion",
    "fraud_rule",
    "fraud_case",
    "reclassification",
    "claim",
    "evidence",
    "referral",
    "referral_code",
]

PREFIXES: Final[dict[Kind, str]] = {
    "program": "prg",
    "member": "mem",
    "link": "lnk",
    "merchant": "mrc",
    "award": "awd",
    "spend": "spd",
    "hold": "hld",
    "reversal": "rev",
    "endpoint": "whk",
    "delivery": "whd",
    "event": "evt",
    "job": "job",
    "token": "tok",
    "operator": "opr",
    "session": "ses",
    "key": "key",
    "glass": "bgl",
    "notification": "ntf",
    "notice": "ntc",
    "audit": "aud",
    "export": "exp",
    "erasure": "ers",
    "consent": "cns",
    "identity": "idn",
    "code": "otc",
    "push": "psh",
    "transaction": "mtx",
    "payout_method": "pmt",
    "withdrawal": "wdr",
    "adjustment": "adj",
    "category": "cat",
    "offer": "off",
    "network": "net",
    "postback": "pbk",
    "conversion": "cnv",
    "fraud_rule": "frl",
    "fraud_case": "frc",
    "reclassification": "rcl",
    "claim": "clm",
    "evidence": "evd",
    "referral": "ref",
    "referral_code": "rfc",
}

ENTROPY_BYTES: Final = 10

_PAIRS: Final = base32.PAIRS
_VERSION_AND_VARIANT: Final = 7 << 76 | 2 << 62
_VERSION_AND_VARIANT_MASK: Final = 15 << 76 | 3 << 62


class EventRef(NamedTuple):
    """Where and when a points event was decided."""

    partition: int
    generation: int
    sequence: int
    ms: int


def new(kind: Kind, now_ms: int, entropy: bytes) -> str:
    """A new id of `kind`; `entropy` is ENTROPY_BYTES random bytes, six bits of which go unused."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"expected {ENTROPY_BYTES} bytes of entropy, got {len(entropy)}")
    random = int.from_bytes(entropy, "big")
    return _typeid(kind, now_ms, (random >> 62) & 0xFFF, random & ((1 << 62) - 1))


def first(kind: Kind, ms: int) -> str:
    """Where ids of `kind` begin that are made at that moment or later; no id itself."""
    return f"{PREFIXES[kind]}_{_time(max(ms, 0))}"


def is_id(text: str, kind: Kind) -> bool:
    """Whether `text` is an id of `kind` in its one spelling."""
    try:
        _number(text, kind)
    except BadId:
        return False
    return True


def link_bits(link_id: str) -> int:
    """The low 24 bits of a link's id, which its click ids carry; BadId for anything else."""
    return _number(link_id, "link") & 0xFFFFFF


def event_id(kind: Kind, event: EventRef) -> str:
    """The id of a points event; OverflowError when a part does not fit its bits."""
    partition, generation, sequence, ms = event
    if sequence >> 40:
        raise OverflowError(f"{event} does not fit an id")
    # The time is the first ten characters, where it was decided the next eight, the sequence the
    # last eight; many awards share the first and the second.
    return (
        f"{PREFIXES[kind]}_{_time(ms)}{_place(partition, generation)}"
        f"{_PAIRS[sequence >> 30]}{_PAIRS[sequence >> 20 & 1023]}"
        f"{_PAIRS[sequence >> 10 & 1023]}{_PAIRS[sequence & 1023]}"
    )


@functools.lru_cache(1024)
def _time(ms: int) -> str:
    if ms >> 48:
        raise OverflowError(f"{ms} ms does not fit an id")
    return base32.encode(ms, 10)


@functools.lru_cache(1024)
def _place(partition: int, generation: int) -> str:
    if partition >> 12 or generation >> 22:
        raise OverflowError(f"partition {partition}, generation {generation} do not fit an id")
    return base32.encode((7 << 12 | partition) << 24 | 2 << 22 | generation, 8)


def parse_event_id(text: str, kind: Kind) -> EventRef:
    """Where the event of this id was decided; BadId when it is not an id of `kind`."""
    number = _number(text, kind)
    return EventRef(
        partition=(number >> 64) & 0xFFF,
        generation=(number >> 40) & 0x3FFFFF,
        sequence=number & 0xFFFFFFFFFF,
        ms=number >> 80,
    )


def partition_of(program_id: str, member_id: str, count: int = 16) -> int:
    """The award partition that decides for a member; `count` is fixed at installation."""
    return zlib.crc32(f"{program_id}:{member_id}".encode()) % count


def _typeid(kind: Kind, ms: int, low_of_version: int, low_of_variant: int) -> str:
    if ms >> 48:
        raise OverflowError(f"{ms} ms does not fit an id")
    number = ms << 80 | low_of_version << 64 | low_of_variant | _VERSION_AND_VARIANT
    return f"{PREFIXES[kind]}_{base32.encode(number, 26)}"


def _number(text: str, kind: Kind) -> int:
    prefix, _, suffix = text.partition("_")
    if prefix == PREFIXES[kind] and len(suffix) == 26 and suffix == suffix.lower():
        try:
            number = base32.decode(suffix)
        except ValueError:
            number = 0
        if number >> 128 == 0 and number & _VERSION_AND_VARIANT_MASK == _VERSION_AND_VARIANT:
            return number
    raise BadId(f"Expected an id like {PREFIXES[kind]}_…")
