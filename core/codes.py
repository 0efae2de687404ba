"""One-time codes: six digits that prove that somebody reads a mailbox or a phone.

A code is good for one purpose and one contact, for TTL_S seconds and WRONG_MAX wrong tries, once;
only the latest one counts. Six digits are few, so what bounds guessing is that codes are asked for
seldom (`LIMITS`) and that all codes of a contact together have WRONG_PER_DAY wrong tries a day:
somebody who does nothing but guess is right once in 40,000 days.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta

from core import fields
from core.keyring import KeyRing

Purpose = Literal["sign_in", "verify", "reset", "register"]
Code = Annotated[str, Meta(pattern=r"^[0-9]{6}$")]

DIGITS: Final = 6
ENTROPY_BYTES: Final = 16
TTL_S: Final = 300
WRONG_MAX: Final = 5
WRONG_PER_DAY: Final = 5 * WRONG_MAX
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
RESEND_AFTER_S: Final = 30
SENDS_PER_HOUR: Final = 5
# Of somebody who is signed in, to whichever contacts.
SENDS_PER_PERSON: Final = 10

# Numbers are handed out to carriers by the ten thousand: who is paid for messages to numbers of
# their own asks for codes to such a block, one number after another.
_BLOCK_DIGITS: Final = 4


class Limit(NamedTuple):
    """At most `most` codes in `window_s` seconds; 0 means that there is no limit."""

    most: int
    window_s: int


RESENDS: Final = Limit(1, RESEND_AFTER_S)
SENDS: Final = Limit(SENDS_PER_HOUR, HOUR_S)


def new(entropy: bytes) -> str:
    """A code from ENTROPY_BYTES random bytes; so many that no code is likelier than another."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"expected {ENTROPY_BYTES} bytes of entropy, got {len(entropy)}")
    return f"{int.from_bytes(entropy, 'big') % 10**DIGITS:0{DIGITS}}"


def digest(ring: KeyRing, code_id: str, code: str) -> bytes:
    """What is stored of a code: a million guesses are quick to try, but not without the key."""
    return fields.blind(ring, code, _context(code_id))


def is_right(ring: KeyRing, code_id: str, code: str, stored: bytes | None) -> bool:
    """Whether `code` is the one whose digest is stored; compared in constant time."""
    wanted = stored or b""
    found = [
        hmac.compare_digest(one, wanted) for one in fields.blinds(ring, code, _context(code_id))
    ]
    return any(found)


def block_of(phone: str) -> str:
    """The block of numbers that an E.164 number was handed out in."""
    return phone[:-_BLOCK_DIGITS]


def wait_s(now_ms: int, asked: Sequence[tuple[Limit, int | None]]) -> int:
    """Seconds until another code may be asked for, 0 for now.

    Each limit stands beside the moment (Unix ms) at which the code was asked for that is the
    `most`th latest, None if there were fewer.
    """
    ends_ms = [at_ms + limit.window_s * 1000 for limit, at_ms in asked if at_ms is not None]
    return max(0, -((now_ms - max(ends_ms, default=0)) // 1000))


def _context(code_id: str) -> str:
    return f"one_time_code.code_hash:{code_id}"
