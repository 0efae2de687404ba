"""Crockford's base32 in lower case, the alphabet of all our ids: no i, l, o and u."""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"

# Two characters at a time: half the steps of the obvious loop, on the path of every click.
PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)

_PYTHON_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"


def _digit_table() -> bytes:
    table = bytearray(b"!" * 256)
    for ours, digit in zip(ALPHABET, _PYTHON_DIGITS, strict=True):
        table[ord(ours)] = table[ord(ours.upper())] = ord(digit)
    return bytes(table)


# Every other byte becomes "!", which `int` refuses: so no sign, space or underscore slips through.
_DIGITS: Final = _digit_table()


def encode(number: int, length: int) -> str:
    """`number` as `length` characters; `length` is even and large enough."""
    return "".join([PAIRS[(number >> shift) & 1023] for shift in range(5 * length - 10, -1, -10)])


def decode(text: str) -> int:
    """The number that `text` stands for, in either case; ValueError for any other character."""
    return int(text.encode("ascii").translate(_DIGITS), 32)
