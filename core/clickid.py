"""The click id: 160 bits that prove themselves, as 32 characters of lower-case base32.

    4 key id · 44 ms since 2020 · 16 boot · 32 sequence · 24 link bits · 40 code

The code is a keyed BLAKE2s over the program id and the first 120 bits. So a forged id, or one of
another program, is refused without a lookup; the sequence is dense per boot, so a gap is a lost
click. It has no prefix: it fits the sub-id field of every affiliate network, also of those that
change the case of letters.

Test vector: key 000102…1f, key id 1, boot 7, first click of program prg_01h455vb4pex5vsknk084sn02q,
link bits 0xabcdef, at Unix 1700000000000 ms: 20e72zm00000e000000tqkffxn3228xn
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import blake2s
from typing import Final, NamedTuple

from core import base32
from core.errors import BadClickId, ForgedClickId

LENGTH: Final = 32
EPOCH_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00:00Z
DAY_MS: Final = 86_400_000

_CODE_BYTES: Final = 5
_PAIRS: Final = base32.PAIRS


class ClickId(NamedTuple):
    """The parts of a click id; `ms` counts from the Unix epoch, `text` is its one spelling."""

    key_id: int
    ms: int
    boot: int
    sequence: int
    link_bits: int
    mac: int
    text: str


class Minter:
    """Makes the click ids of one boot of one process.

    `sequence` is the number of the last click: 0 before the first, and 0 again after 2^32 - 1.
    """

    def __init__(self, key_id: int, key: bytes, boot: int) -> None:
        if key_id >> 4 or boot >> 16:
            raise OverflowError(f"key id {key_id} or boot {boot} does not fit a click id")
        self.sequence = 0
        self._keyed = blake2s(key=key, digest_size=_CODE_BYTES)
        self._fixed = key_id << 116 | boot << 56
        self._boot_nibble = (boot & 15) << 36
        self._begin_millisecond(EPOCH_MS)

    def mint(self, now_ms: int, program_id: str, link_bits: int) -> str:
        """A click id for a click on a link of `program_id`, now.

        The characters come from three numbers of at most 60 bits, because shifting those is
        cheaper than shifting all 160; the first changes only with the millisecond.
        """
        if now_ms != self._now_ms:
            self._begin_millisecond(now_ms)
        self.sequence = sequence = (self.sequence + 1) & 0xFFFFFFFF
        code = self._keyed.copy()
        signed = (self._head | sequence << 24 | link_bits).to_bytes(15, "big")
        code.update(program_id.encode() + signed)
        b = self._boot_nibble | sequence << 4 | link_bits >> 20
        c = (link_bits & 0xFFFFF) << 40 | int.from_bytes(code.digest(), "big")
        return (
            f"{self._prefix}"
            f"{_PAIRS[b >> 30]}{_PAIRS[b >> 20 & 1023]}{_PAIRS[b >> 10 & 1023]}{_PAIRS[b & 1023]}"
            f"{_PAIRS[c >> 50]}{_PAIRS[c >> 40 & 1023]}{_PAIRS[c >> 30 & 1023]}"
            f"{_PAIRS[c >> 20 & 1023]}{_PAIRS[c >> 10 & 1023]}{_PAIRS[c & 1023]}"
        )

    def _begin_millisecond(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._head = self._fixed | (now_ms - EPOCH_MS) << 72
        self._prefix = base32.encode(self._head >> 60, 12)


def first(key_id: int, ms: int) -> str:
    """Where click ids under this key begin that are made at that moment or later; `ms` counts from
    the Unix epoch."""
    return base32.encode(key_id << 156 | max(ms - EPOCH_MS, 0) << 112, LENGTH)


def decode(text: str) -> ClickId:
    """Take a click id apart without proving it; BadClickId when it does not have the form."""
    return _parts(_number(text), text)


def has_form(text: str) -> bool:
    """Whether it looks like a click id; `verify` says whether we made it."""
    try:
        _number(text)
    except BadClickId:
        return False
    return True


def verify(text: str, program_id: str, keys: Mapping[int, bytes]) -> ClickId:
    """Take apart a click id that we made for `program_id`; ForgedClickId for any other text."""
    try:
        number = _number(text)
        key = keys[number >> 156]
    except (BadClickId, KeyError):
        raise ForgedClickId(ForgedClickId.__doc__) from None
    raw = number.to_bytes(20, "big")
    code = blake2s(program_id.encode() + raw[:15], key=key, digest_size=_CODE_BYTES).digest()
    if not hmac.compare_digest(code, raw[15:]):
        raise ForgedClickId(ForgedClickId.__doc__)
    return _parts(number, text)


def _number(text: str) -> int:
    try:
        if len(text) == LENGTH:
            return base32.decode(text)
    except ValueError:
        pass
    raise BadClickId(f"Expected {LENGTH} characters of Crockford base32")


def _parts(number: int, text: str) -> ClickId:
    return ClickId(
        key_id=number >> 156,
        ms=_unix_ms(number),
        boot=number >> 96 & 0xFFFF,
        sequence=number >> 64 & 0xFFFFFFFF,
        link_bits=number >> 40 & 0xFFFFFF,
        mac=number & 0xFFFFFFFFFF,
        text=text.lower(),
    )


def _unix_ms(number: int) -> int:
    return (number >> 112 & 0xFFFFFFFFFFF) + EPOCH_MS
