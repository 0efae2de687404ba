"""The spool: clicks on local disk while Redis is slow or away.

A folder of segments, shared by all redirectors of a host. Its writer holds a segment's lock as
long as it writes to it; a segment that nobody holds may be sent and deleted by any process
(`redirector.replay`). A record is

    4 bytes length of the payload · 4 bytes CRC-32 of kind and payload · 1 byte kind · payload

both numbers big-endian. A batch's payload is its msgpack, a cancellation's is [run, number].
A file ends where a record is incomplete or wrong: that is the tail which a killed writer left, and
nobody was answered for it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from core import errors
from redirector.batches import Batch

SUFFIX: Final = ".seg"
# How old a look at the other processes' segments may be.
FOLDER_AGE_S: Final = 0.25

_HEAD: Final = struct.Struct(">IIB")
_BATCH, _CANCEL = 1, 2
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_batch: Final = msgspec.msgpack.Decoder(Batch).decode
_decode_cancel: Final = msgspec.msgpack.Decoder(tuple[int, int]).decode


class SpoolFull(errors.Unavailable, code="spool_full"):
    """Clicks cannot be recorded at the moment."""


class Segment:
    """A segment that this process writes: `live` clicks in it have not been taken back."""

    __slots__ = ("fd", "is_named", "live", "path", "size")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.size = 0
        self.live = 0
        self.is_named = False

    def sync(self) -> None:
        """Wait for the disk; the first time also for the segment's name in the folder."""
        os.fdatasync(self.fd)
        if not self.is_named:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self.is_named = True


class Spool:
    """The segments of one process, one of them open for writing."""

    def __init__(self, folder: Path, *, segment_bytes: int, total_bytes: int, syncs: bool) -> None:
        """`syncs`: whether `synced` waits for the disk."""
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._total_bytes = total_bytes
        self._syncs = syncs
        self._active: Segment | None = None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._others_bytes = 0
        self._looked_at = float("-inf")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def live(self) -> int:
        """Clicks in the open segment that wait to be sent."""
        return self._active.live if self._active else 0

    @property
    def is_writable(self) -> bool:
        """Whether another batch would find room."""
        return os.access(self.folder, os.W_OK) and self.used_bytes() < self._total_bytes

    def append(self, batch: Batch) -> Segment:
        """Write a batch; raises SpoolFull when it does not fit the limits or the disk."""
        data = _record(_BATCH, _encode(batch))
        try:
            is_full = self.used_bytes() + len(data) > self._total_bytes
            segment = None if is_full else self._room_for(len(data))
            if segment is not None:
                _write(segment, data)
        except OSError as error:
            raise SpoolFull from error
        if segment is None:
            raise SpoolFull
        segment.live += batch.size
        return segment

    async def synced(self, segment: Segment) -> None:
        """Wait until what was appended is as durable as the settings ask; OSError if it can't."""
        if self._syncs:
            await asyncio.get_running_loop().run_in_executor(self._disk, segment.sync)

    def cancel(self, segment: Segment, batch: Batch) -> bool:
        """Take a batch back; False when its segment is closed and will be sent all the same."""
        if segment is not self._active:
            return False
        segment.live -= batch.size
        try:
            if segment.live:
                _write(segment, _record(_CANCEL, _encode((batch.run, batch.number))))
            else:
                os.ftruncate(segment.fd, 0)
                segment.size = 0
        except OSError:
            # Sent once more, it is recognized by its mark.
            return False
        return True

    def rotate(self) -> None:
        """Close the open segment, so that it may be sent."""
        segment, self._active = self._active, None
        if segment is not None:
            self._looked_at = float("-inf")
            if not segment.live:
                segment.path.unlink(missing_ok=True)
            # Behind the syncs that wait for it; closing gives the lock up.
            self._disk.submit(os.close, segment.fd)

    def used_bytes(self) -> int:
        """Size of all segments on this host; of other processes' as it was a moment ago."""
        if time.monotonic() - self._looked_at > FOLDER_AGE_S:
            active = self._active.path if self._active else None
            self._others_bytes = sum(size(path) for path in segments(self.folder) if path != active)
            self._looked_at = time.monotonic()
        return self._others_bytes + (self._active.size if self._active else 0)

    def close(self) -> None:
        """Leave the segments to whoever comes next."""
        self.rotate()
        self._disk.shutdown()

    def _room_for(self, length: int) -> Segment:
        if self._active and self._active.size + length > self._segment_bytes:
            self.rotate()
        if self._active is None:
            self._active = _create(self.folder)
        return self._active


def segments(folder: Path) -> list[Path]:
    """All segments of the folder, the oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def size(path: Path) -> int:
    """Bytes of a segment, 0 when it has just been deleted."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def claim(path: Path) -> int | None:
    """Take over a segment that nobody holds; its descriptor, or None."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    if _lock(fd):
        return fd
    os.close(fd)
    return None


def read(fd: int) -> list[Batch]:
    """The batches of a claimed segment that are not cancelled; cuts its torn tail off."""
    with open(fd, "rb", closefd=False) as file:
        data = file.read()
    batches: dict[tuple[int, int], Batch] = {}
    offset = 0
    while (end := _end_of_record(data, offset)) is not None:
        kind, payload = data[offset + 8], data[offset + _HEAD.size : end]
        if kind == _BATCH:
            batch = _decode_batch(payload)
            batches[batch.run, batch.number] = batch
        else:
            batches.pop(_decode_cancel(payload), None)
        offset = end
    if offset < len(data):
        os.ftruncate(fd, offset)
    return list(batches.values())


def _record(kind: int, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(bytes((kind,))))
    return _HEAD.pack(len(payload), checksum, kind) + payload


def _end_of_record(data: bytes, offset: int) -> int | None:
    """Where the record at `offset` ends, None when it is incomplete or wrong."""
    start = offset + _HEAD.size
    if start > len(data):
        return None
    length, checksum, _ = _HEAD.unpack_from(data, offset)
    end: int = start + length
    if end > len(data) or zlib.crc32(data[offset + 8 : end]) != checksum:
        return None
    return end


def _write(segment: Segment, data: bytes) -> None:
    """Append all of it or nothing."""
    written = 0
    try:
        written = os.write(segment.fd, data)
    finally:
        if written < len(data):
            os.ftruncate(segment.fd, segment.size)
    if written < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    segment.size += len(data)


def _create(folder: Path) -> Segment:
    """A new segment, locked; another process may delete it before it is, then another is made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        if _lock(fd):
            return Segment(path, fd)
        os.close(fd)


def _lock(fd: int) -> bool:
    """Lock a file that still has a name."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(fd).st_nlink > 0
