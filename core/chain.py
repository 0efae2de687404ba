"""The audit log's proof against the one who runs the database.

Whoever writes an entry holds the key ring, whoever changes tables by hand does not:

proof   an HMAC-SHA-256 of the entry, made when it is written: an entry that was changed, or that
        nobody of ours wrote, has none that fits
digest  a SHA-256 over the digest before it, the entry's position and the entry: what was removed
        from within or moved breaks the chain
seal    an HMAC of the last digest: the chain cannot be computed anew without the key
head    a position and its digest, kept elsewhere: a chain cut short or set back does not fit it

The key is derived from a field key of the ring, and stored by that key's name. A digest needs no
key: once a chain is sealed under a newer key, the old one may be retired and the entries of its
time still hang together.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

import msgspec

from core.keyring import KeyRing

DIGEST_BYTES: Final = 32
_PURPOSE: Final = b"stampgate audit log"


class Content(NamedTuple):
    """What an entry says. `at_us` is Unix microseconds; `before` and `after` are JSON texts."""

    id: str
    at_us: int
    program_id: str
    actor: str
    actor_role: str
    action: str
    object_id: str
    before: str | None
    after: str | None
    address: str
    request_id: str


class Proof(NamedTuple):
    """The name of the key that it was made with, and the HMAC."""

    key: str
    mac: bytes


class Link(NamedTuple):
    """An entry's place in its chain; `is_proven`: its proof fitted when it was given its place."""

    position: int
    digest: bytes
    is_proven: bool


class Head(NamedTuple):
    """How far a chain goes. Entries up to `cut_position` are past retention and gone."""

    program_id: str
    position: int
    digest: bytes
    cut_position: int
    cut_digest: bytes


def start(program_id: str) -> Head:
    """The head of a chain without entries; the installation's own has the program id ''."""
    digest = hashlib.sha256(_PURPOSE + b"\0" + program_id.encode()).digest()
    return Head(program_id, 0, digest, 0, digest)


def prove(ring: KeyRing, content: Content) -> Proof:
    """The proof of a new entry, by the ring's active field key."""
    return _sign(ring, _bytes(content))


def fits(ring: KeyRing, content: Content, proof: Proof) -> bool | None:
    """Whether the proof is the entry's own; None when its key is not in the ring any more."""
    return _fits(ring, _bytes(content), proof)


def follow(head: Head, content: Content, proof: Proof, *, is_proven: bool) -> Link:
    """The entry's place behind `head`."""
    position = head.position + 1
    said = msgspec.json.encode((position, proof.key, proof.mac, is_proven))
    digest = hashlib.sha256(head.digest + said + b"\0" + _bytes(content)).digest()
    return Link(position, digest, is_proven)


def seal(ring: KeyRing, head: Head) -> Proof:
    """The seal of a chain that goes as far as `head`."""
    return _sign(ring, _bytes(head))


def is_sealed(ring: KeyRing, head: Head, proof: Proof) -> bool | None:
    """Whether the seal is the head's own; None when its key is not in the ring any more."""
    return _fits(ring, _bytes(head), proof)


def _bytes(values: Content | Head) -> bytes:
    return msgspec.json.encode((type(values).__name__, *values))


def _sign(ring: KeyRing, data: bytes) -> Proof:
    name = ring.active_field
    return Proof(name, hmac.digest(_derived(ring.field[name]), data, hashlib.sha256))


def _fits(ring: KeyRing, data: bytes, proof: Proof) -> bool | None:
    key = ring.field.get(proof.key)
    if key is None:
        return None
    return hmac.compare_digest(hmac.digest(_derived(key), data, hashlib.sha256), proof.mac)


def _derived(key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE, hashlib.sha256)
