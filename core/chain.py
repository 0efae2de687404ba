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
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from core.keyring import KeyRing

# Enough for somebody to see what was done to a chain.
PROBLEMS_MAX: Final = 100
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


class Stored(NamedTuple):
    """An entry as it is found; `link` is None until it was given its place."""

    content: Content
    proof: Proof
    link: Link | None


class Kept(NamedTuple):
    """A head that was kept elsewhere."""

    position: int
    digest: bytes


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


Kind = Literal["changed", "missing", "moved", "head", "seal"]


class Problem(msgspec.Struct, frozen=True):
    """Something that was done to a chain.

    changed  the entry is not the one that was written, or nobody of ours wrote it
    missing  entries are gone
    moved    the entry does not follow the one before it
    head     the chain was cut short, set back, or goes on behind its head
    seal     the head was not written by us
    """

    kind: Kind
    position: int | None
    entry_id: str | None
    detail: str


class Walk:
    """Checks a chain, entry by entry in the order of positions; what is wrong is in `problems`.

    `behind` is where the walk begins: the chain's cut, or an entry that an earlier walk reached.
    """

    def __init__(self, ring: KeyRing, behind: Kept, kept: Iterable[Kept] = ()) -> None:
        self.problems: list[Problem] = []
        self.checked = 0
        self.unsealed = 0
        self.last = behind
        self._ring = ring
        self._kept = {one.position: one for one in kept if one.position >= behind.position}
        self._compare(behind)

    def step(self, stored: Stored) -> None:
        """Check the next entry."""
        content, proof, link = stored
        self.checked += 1
        if link is None:
            self.unsealed += 1
            if fits(self._ring, content, proof) is False:
                self._add("changed", None, content.id, "It does not fit its proof.")
            return
        is_changed = self._is_changed(content, proof, link)
        if is_changed:
            self._add("changed", link.position, content.id, "It does not fit its proof.")
        expected = self.last.position + 1
        if link.position > expected:
            self._missing(expected, link.position - 1)
        elif not is_changed and link != self._following(content, proof, link):
            self._add("moved", link.position, content.id, "It does not follow the one before it.")
        self.last = Kept(max(link.position, self.last.position), link.digest)
        self._compare(self.last)

    def end(self, head: Head, proof: Proof | None) -> None:
        """Compare what was found with the chain's head and its seal; None when it has none."""
        if head.position > self.last.position:
            self._missing(self.last.position + 1, head.position)
        elif self.last != (head.position, head.digest):
            self._add("head", head.position, None, "The entries lead to another head.")
        if proof is not None and not is_sealed(self._ring, head, proof):
            self._add("seal", head.position, None, "The head was not written with one of our keys.")
        for kept in self._kept.values():
            self._add("head", kept.position, None, "The chain no longer has a head that was kept.")

    def _is_changed(self, content: Content, proof: Proof, link: Link) -> bool:
        fitting = fits(self._ring, content, proof)
        # Without the key, what was found when the entry got its place is what is known.
        return not (link.is_proven if fitting is None else fitting)

    def _following(self, content: Content, proof: Proof, link: Link) -> Link:
        before = Head("", *self.last, 0, b"")
        return follow(before, content, proof, is_proven=link.is_proven)

    def _compare(self, found: Kept) -> None:
        if self._kept.get(found.position) == found:
            del self._kept[found.position]

    def _missing(self, first: int, last: int) -> None:
        detail = f"{last - first + 1} entries are gone, up to {last}."
        self._add("missing", first, None, detail)

    def _add(self, kind: Kind, position: int | None, entry_id: str | None, detail: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(kind, position, entry_id, detail))


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
