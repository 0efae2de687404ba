"""The spool's files: torn tails, limits, locks; and their replay."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.events import Click
from db.redis import Connection
from redirector import batches, replay, spool
from redirector.batches import Batch
from redirector.spool import Spool, SpoolFull
from tests.redirector.conftest import live, recorded


def batch(number: int, size: int = 1) -> Batch:
    clicks = [
        Click(
            click_id=f"click-{number}-{place}",
            link_id="lnk_1",
            program_id="prg_1",
            hit_class=0,
            reasons=(),
            address=None,
            country=None,
            user_agent=None,
            referrer=None,
            privacy_signal=False,
            member_id=None,
            variant=None,
            parameters=None,
            preminted=False,
        )
        for place in range(size)
    ]
    return batches.pack(5, 5, number, clicks, ["lnk_1:0"] * size)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Spool]:
    made = make(tmp_path)
    yield made
    made.close()


def make(folder: Path, segment_bytes: int = 1 << 20, total_bytes: int = 1 << 20) -> Spool:
    return Spool(folder, segment_bytes=segment_bytes, total_bytes=total_bytes, syncs=True)


async def replayed(connection: Connection, own: Spool) -> None:
    """Send what is spooled, when its segment was let go: a thread does that."""
    own.rotate()
    await asyncio.wrap_future(own._disk.submit(int))
    await replay.replay(connection, own, 0)


def content(folder: Path) -> list[Batch]:
    """The batches of all segments that nobody holds."""
    found: list[Batch] = []
    for path in spool.segments(folder):
        fd = spool.claim(path)
        assert fd is not None
        found += spool.read(fd)
        os.close(fd)
    return found


def test_batches_come_back_as_they_were_but_for_those_taken_back(
    own: Spool, tmp_path: Path
) -> None:
    written = [batch(number) for number in range(4)]
    held = [own.append(one) for one in written]
    assert own.cancel(held[1], written[1])
    own.close()
    assert content(tmp_path) == [written[0], written[2], written[3]]


def test_segment_without_live_batches_is_emptied(own: Spool) -> None:
    for _ in range(2):
        segment = own.append(batch(1))
        assert own.cancel(segment, batch(1))
        assert (own.live, own.used_bytes()) == (0, 0)


def test_batch_of_a_closed_segment_cannot_be_taken_back(own: Spool, tmp_path: Path) -> None:
    segment = own.append(batch(1))
    own.rotate()
    assert not own.cancel(segment, batch(1))
    own.close()
    assert content(tmp_path) == [batch(1)]


@pytest.mark.parametrize("kept", range(0, 400, 7))
def test_torn_tail_is_cut_wherever_it_was_torn(own: Spool, tmp_path: Path, kept: int) -> None:
    segment = own.append(batch(1))
    first = segment.size
    own.append(batch(2))
    kept = min(kept, segment.size - 1)
    own.close()
    os.truncate(segment.path, kept)
    assert content(tmp_path) == ([batch(1)] if kept >= first else [])
    assert spool.size(segment.path) == (first if kept >= first else 0)


def test_flipped_bit_ends_the_segment(own: Spool, tmp_path: Path) -> None:
    first = own.append(batch(1)).size
    path = own.append(batch(2)).path
    own.close()
    data = bytearray(path.read_bytes())
    data[first + 20] ^= 1
    path.write_bytes(data)
    assert content(tmp_path) == [batch(1)]


def test_segments_and_their_sum_have_limits(tmp_path: Path) -> None:
    probe = make(tmp_path / "probe")
    length = probe.append(batch(1)).size
    probe.close()
    own = make(tmp_path / "own", segment_bytes=2 * length, total_bytes=5 * length)
    other = make(tmp_path / "own", segment_bytes=2 * length, total_bytes=5 * length)
    for number in range(4):
        own.append(batch(number))
    assert [spool.size(path) for path in spool.segments(own.folder)] == [2 * length] * 2
    other.append(batch(4))
    for full in (own, other):
        full._looked_at = float("-inf")
        with pytest.raises(SpoolFull):
            full.append(batch(5))
        assert not full.is_writable
    own.close()
    other.close()
    assert len(content(own.folder)) == 5


def test_write_that_fails_leaves_no_half_record(
    own: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.append(batch(1))
    write = os.write
    # A full disk takes the first bytes and no more; there is none here to fill.
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(SpoolFull):
        own.append(batch(2))
    monkeypatch.undo()
    own.append(batch(3))
    own.close()
    assert content(tmp_path) == [batch(1), batch(3)]


def test_segment_is_claimed_by_one_and_not_while_it_is_written(own: Spool) -> None:
    path = own.append(batch(1)).path
    assert spool.claim(path) is None
    own.close()
    first = spool.claim(path)
    assert first is not None
    assert spool.claim(path) is None
    path.unlink()
    os.close(first)
    assert spool.claim(path) is None


async def test_two_processes_replaying_the_same_segment_count_once(
    connection: Connection, tmp_path: Path
) -> None:
    one, other = make(tmp_path), make(tmp_path)
    for number in range(20):
        one.append(batch(number, size=3))
    copy = tmp_path / "copy.seg"
    copy.write_bytes(spool.segments(tmp_path)[0].read_bytes())
    await asyncio.gather(*(replay.replay(connection, own, 0) for own in (one, other)))
    await replay.replay(connection, other, 0)
    one.close()
    other.close()
    assert len(await recorded(connection)) == 60
    assert await live(connection, "lnk_1") == {0: 60}
    assert spool.segments(tmp_path) == []


async def test_unreadable_segment_is_set_aside_and_the_rest_goes_on(
    connection: Connection, own: Spool, tmp_path: Path
) -> None:
    foreign = tmp_path / f"0{spool.SUFFIX}"
    foreign.write_bytes(spool._record(1, b"\x90"))
    own.append(batch(1))
    await replayed(connection, own)
    assert len(await recorded(connection)) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".bad"]


async def test_new_segment_that_another_process_grabs_first_is_made_again(
    own: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    grabbed: list[int] = []
    flock = fcntl.flock

    def grab_first(fd: int, operation: int) -> None:
        if not grabbed:
            path = Path(f"/proc/self/fd/{fd}").readlink()
            claimed = os.open(path, os.O_RDWR)
            flock(claimed, operation)
            path.unlink()
            grabbed.append(claimed)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", grab_first)
    segment = own.append(batch(1))
    monkeypatch.undo()
    os.close(grabbed[0])
    assert segment.path.exists()
