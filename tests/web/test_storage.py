"""The storage drivers against a real disk and a real S3 server on a socket."""

from __future__ import annotations

import socket
import stat
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from core import storage
from core.errors import BadTicket, StorageFailed
from core.storage import Bucket, Folder, Storage
from tests.conftest import RING
from web import storage as drivers

KEY = "exports/prg_1/exp_1.json"
NOW_S = 1_800_000_000
LARGE = 2 * drivers.PART_BYTES + 5


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of moto's S3."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def bucket(s3: str) -> AsyncIterator[drivers.BucketStorage]:
    place = storage.parse(f"s3://key:secret@files/some/where?endpoint={s3}&region=eu-central-1")
    assert isinstance(place, Bucket)
    opened = await drivers.BucketStorage.open(place)
    await opened._client.create_bucket(
        Bucket="files", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    yield opened
    await _empty(opened)
    await opened.close()


async def _empty(opened: drivers.BucketStorage) -> None:
    for name in await names(opened):
        await opened._client.delete_object(Bucket="files", Key=name)
    await opened._client.delete_bucket(Bucket="files")


async def names(opened: drivers.BucketStorage) -> list[str]:
    listed = await opened._client.list_objects_v2(Bucket="files")
    return [one["Key"] for one in listed.get("Contents", ())]


async def uploads(opened: drivers.BucketStorage) -> list[str]:
    listed = await opened._client.list_multipart_uploads(Bucket="files")
    return [one["Key"] for one in listed.get("Uploads", ())]


@pytest.fixture
def folder(tmp_path: Path) -> drivers.FolderStorage:
    return drivers.FolderStorage(tmp_path / "files", lambda: RING, "/v1/downloads")


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for number, size in enumerate(sizes):
        yield bytes([number]) * size


async def broken() -> AsyncIterator[bytes]:
    yield b"x" * LARGE
    raise RuntimeError("the source broke")


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        assert "exp_1.json" in answer.headers["Content-Disposition"]
        body: bytes = answer.read()
        return body


@pytest.mark.parametrize(
    "sizes", [(), (3, 4), (LARGE,), (drivers.PART_BYTES,), (1,) * 5 + (LARGE,)]
)
async def test_a_bucket_gives_back_what_was_put(
    bucket: drivers.BucketStorage, sizes: tuple[int, ...]
) -> None:
    size = await bucket.put(KEY, chunks(*sizes), "application/json")
    assert size == sum(sizes)
    assert await names(bucket) == [f"some/where/{KEY}"]
    body = fetched(await bucket.url(KEY, now_s=NOW_S, ttl_s=60))
    assert body == b"".join([part async for part in chunks(*sizes)])


async def test_a_presigned_url_is_good_for_one_file_and_some_time(
    bucket: drivers.BucketStorage,
) -> None:
    await bucket.put(KEY, chunks(3), "application/json")
    url = await bucket.url(KEY, now_s=NOW_S, ttl_s=60)
    assert "X-Amz-Expires=60" in url
    assert "X-Amz-Signature=" in url
    assert "secret" not in url


async def test_what_a_bucket_was_given_in_part_is_not_there(bucket: drivers.BucketStorage) -> None:
    with pytest.raises(RuntimeError, match="broke"):
        await bucket.put(KEY, broken(), "application/json")
    assert await names(bucket) == []
    assert await uploads(bucket) == []


async def test_a_file_is_deleted_once_or_twice(
    bucket: drivers.BucketStorage, folder: drivers.FolderStorage
) -> None:
    for one in (bucket, folder):
        kept: Storage = one
        await kept.put(KEY, chunks(3), "application/json")
        await kept.delete(KEY)
        await kept.delete(KEY)
    assert await names(bucket) == []
    assert not folder.path(KEY).exists()


async def test_a_bucket_that_is_away_or_not_there_fails_by_name(s3: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for endpoint in (free, s3):
        place = Bucket("nowhere", "", endpoint, "eu-central-1", "key", "secret")
        opened = await drivers.BucketStorage.open(place)
        with pytest.raises(StorageFailed) as failure:
            await opened.put(KEY, chunks(3), "application/json")
        assert "secret" not in str(failure.value)
        await opened.close()


@pytest.mark.parametrize("sizes", [(), (3, 4), (LARGE,)])
async def test_a_folder_has_the_whole_file_for_its_owner_alone(
    folder: drivers.FolderStorage, sizes: tuple[int, ...]
) -> None:
    assert await folder.put(KEY, chunks(*sizes), "application/json") == sum(sizes)
    path = folder.path(KEY)
    assert path.read_bytes() == b"".join([part async for part in chunks(*sizes)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


async def test_a_folder_keeps_the_old_file_until_the_new_one_is_whole(
    folder: drivers.FolderStorage,
) -> None:
    await folder.put(KEY, chunks(3), "application/json")
    with pytest.raises(RuntimeError, match="broke"):
        await folder.put(KEY, broken(), "application/json")
    assert folder.path(KEY).read_bytes() == b"\0\0\0"
    assert list(folder.path(KEY).parent.iterdir()) == [folder.path(KEY)]


async def test_a_folder_that_cannot_be_written_fails_by_name(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file stands where the folder should be")
    blocked = drivers.FolderStorage(tmp_path / "files", lambda: RING, "/v1/downloads")
    with pytest.raises(StorageFailed, match="disk"):
        await blocked.put(KEY, chunks(3), "application/json")


async def test_a_ticket_of_a_folder_says_which_file_and_until_when(
    folder: drivers.FolderStorage,
) -> None:
    url = await folder.url(KEY, now_s=NOW_S, ttl_s=60)
    text = url.removeprefix("/v1/downloads/")
    assert storage.redeem(RING, text, NOW_S + 59) == KEY
    with pytest.raises(BadTicket, match="expired"):
        storage.redeem(RING, text, NOW_S + 60)


@pytest.mark.parametrize("key", ["../a", "a/../b", "/a", "a//b", "a/.b", "", "a\x00b", "A/b"])
def test_a_key_never_leads_out_of_its_folder(folder: drivers.FolderStorage, key: str) -> None:
    with pytest.raises(ValueError):
        folder.path(key)


async def test_the_place_decides_the_driver(tmp_path: Path) -> None:
    opened = await drivers.open(Folder(tmp_path), lambda: RING, served_at="/v1/downloads")
    assert isinstance(opened, drivers.FolderStorage)
