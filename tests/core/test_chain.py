"""A chain of audit entries shows whatever is done to it without the key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core import chain, keyring
from core.chain import Content, Head, Kept, Link, Proof, Stored

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
RETIRED = keyring.retire(ROTATED, "field", RING.active_field)
FOREIGN = keyring.generate(1_700_000_000_000, bytes(keyring.RING_ENTROPY_BYTES))
COUNT = 6

Rows = list[Stored]
Chain = tuple[Head, Rows]


def content(number: int) -> Content:
    return Content(
        *(f"aud_{number}", number, "prg_1", "opr_1", "owner", "link.change", "lnk_1"),
        *(None, f'{{"cap":{number}}}', "192.0.2.0", "req"),
    )


def build(ring: keyring.KeyRing = RING, count: int = COUNT) -> Chain:
    head, rows = chain.start("prg_1"), []
    for number in range(1, count + 1):
        said, proof = content(number), chain.prove(ring, content(number))
        head, link = advance(head, said, proof)
        rows.append(Stored(said, proof, link))
    return head, rows


def advance(
    head: Head, said: Content, proof: Proof, *, is_proven: bool = True
) -> tuple[Head, Link]:
    link = chain.follow(head, said, proof, is_proven=is_proven)
    return head._replace(position=link.position, digest=link.digest), link


def rebuilt(head: Head, rows: Rows) -> Chain:
    """All digests computed anew, which takes no key."""
    made, new = chain.start(head.program_id), []
    for said, proof, _ in rows:
        made, link = advance(made, said, proof)
        new.append(Stored(said, proof, link))
    return made, new


def walk(
    head: Head,
    rows: Rows,
    *,
    seal: Proof | None = None,
    ring: keyring.KeyRing = RING,
    kept: Kept | None = None,
) -> set[str]:
    """The kinds of problems found; the seal is the one of the chain as it was built."""
    walker = chain.Walk(ring, Kept(head.cut_position, head.cut_digest), [kept] if kept else [])
    for row in rows:
        walker.step(row)
    walker.end(head, seal or chain.seal(RING, build()[0]))
    return {problem.kind for problem in walker.problems}


def swapped(rows: Rows) -> Rows:
    first, second = rows[2], rows[3]
    return [*rows[:2], first._replace(content=second.content, proof=second.proof),
            second._replace(content=first.content, proof=first.proof), *rows[4:]]  # fmt: skip


def changed(rows: Rows) -> Rows:
    return [*rows[:2], rows[2]._replace(content=content(3)._replace(actor="opr_2")), *rows[3:]]


def forged(rows: Rows) -> Rows:
    """A row in between, written without the key; those behind it move up."""
    new = Stored(content(99), chain.prove(FOREIGN, content(99)), rows[2].link)
    return [*rows[:2], new, *rows[2:]]


def test_a_chain_left_alone_is_whole() -> None:
    head, rows = build()
    assert walk(head, rows) == set()
    assert walk(head, rows, kept=Kept(head.position, head.digest)) == set()
    assert rows[3].link is not None
    assert walk(head, rows, kept=Kept(4, rows[3].link.digest)) == set()
    assert walk(chain.start("prg_1"), [], seal=chain.seal(RING, chain.start("prg_1"))) == set()


@pytest.mark.parametrize(
    ("harm", "shows"),
    [
        (lambda rows: rows[1:], {"missing"}),
        (lambda rows: rows[:-1], {"missing"}),
        (lambda rows: rows[:2] + rows[4:], {"missing"}),
        (changed, {"changed"}),
        (swapped, {"moved"}),
        (forged, {"changed", "moved"}),
        (lambda _: [], {"missing"}),
    ],
    ids=["first", "last", "middle", "changed", "swapped", "forged", "all"],
)
def test_what_is_done_to_entries_shows(harm: Callable[[Rows], Rows], shows: set[str]) -> None:
    head, rows = build()
    assert walk(head, harm(rows)) == shows


@pytest.mark.parametrize(
    "harm",
    [lambda rows: rows[1:], lambda rows: rows[:-1], changed, swapped, forged],
    ids=["first", "last", "changed", "swapped", "forged"],
)
def test_a_chain_computed_anew_lacks_the_seal(harm: Callable[[Rows], Rows]) -> None:
    head, rows = build()
    assert "seal" in walk(*rebuilt(head, harm(rows)))


def test_a_chain_set_back_to_an_older_head_with_its_seal_lacks_a_head_that_was_kept() -> None:
    head, rows = build()
    old = build(count=4)[0]
    assert walk(old, rows[:4], seal=chain.seal(RING, old)) == set()
    kept = Kept(head.position, head.digest)
    assert walk(old, rows[:4], seal=chain.seal(RING, old), kept=kept) == {"head"}
    # Also when it has grown again past the head that was kept.
    grown, regrown = old, rows[:4]
    for number in range(10, 14):
        said, proof = content(number), chain.prove(RING, content(number))
        grown, link = advance(grown, said, proof)
        regrown = [*regrown, Stored(said, proof, link)]
    assert walk(grown, regrown, seal=chain.seal(RING, grown)) == set()
    assert walk(grown, regrown, seal=chain.seal(RING, grown), kept=kept) == {"head"}


def test_a_head_moved_forward_or_back_by_hand_shows() -> None:
    head, rows = build()
    last = rows[-2].link
    assert last is not None
    back = head._replace(position=last.position, digest=last.digest)
    assert walk(back, rows) == {"head", "seal"}
    assert walk(head._replace(position=9), rows) == {"missing", "seal"}


def test_a_chain_goes_on_from_its_cut() -> None:
    head, rows = build()
    cut = rows[2].link
    assert cut is not None
    short = head._replace(cut_position=cut.position, cut_digest=cut.digest)
    assert walk(short, rows[3:], seal=chain.seal(RING, short)) == set()
    assert walk(short, rows[4:], seal=chain.seal(RING, short)) == {"missing"}
    assert walk(short, rows[3:]) == {"seal"}


def test_entries_of_a_retired_key_hang_together_under_a_newer_seal() -> None:
    head, rows = build()
    seal = chain.seal(ROTATED, head)
    assert seal.key == ROTATED.active_field != RING.active_field
    assert walk(head, rows, seal=seal, ring=RETIRED) == set()
    assert walk(head, changed(rows), seal=seal, ring=RETIRED) == {"moved"}
    assert walk(*rebuilt(head, changed(rows)), seal=seal, ring=RETIRED) == {"seal"}
    assert walk(head, rows, ring=RETIRED) == {"seal"}


def test_an_entry_without_a_place_is_checked_by_its_proof() -> None:
    head, rows = build()
    good = Stored(content(7), chain.prove(RING, content(7)), None)
    bad = Stored(content(8), chain.prove(FOREIGN, content(8)), None)
    assert walk(head, [*rows, good]) == set()
    assert walk(head, [*rows, good, bad]) == {"changed"}


def test_an_entry_that_was_no_good_when_it_got_its_place_never_becomes_good() -> None:
    """Its proof names a key that nobody has: what the sealer found counts."""
    head, rows = build()
    proof = Proof("field-9", bytes(32))
    head, link = advance(head, content(7), proof, is_proven=False)
    seal = chain.seal(RING, head)
    assert walk(head, [*rows, Stored(content(7), proof, link)], seal=seal) == {"changed"}
    hidden = link._replace(is_proven=True)
    assert walk(head, [*rows, Stored(content(7), proof, hidden)], seal=seal) == {"moved"}


def test_a_proof_of_another_installation_does_not_fit() -> None:
    assert chain.fits(RING, content(1), chain.prove(RING, content(1))) is True
    assert chain.fits(RING, content(1), chain.prove(FOREIGN, content(1))) is False
    assert chain.fits(RETIRED, content(1), chain.prove(RING, content(1))) is None


def test_a_long_list_of_problems_ends() -> None:
    walker = chain.Walk(RING, Kept(0, b""))
    for number in range(1, 300):
        said = content(number)
        walker.step(Stored(said, chain.prove(FOREIGN, said), Link(number, b"", is_proven=True)))
    assert len(walker.problems) == chain.PROBLEMS_MAX
    assert walker.checked == 299
