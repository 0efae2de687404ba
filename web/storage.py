"""The storage drivers: a folder of this machine, or a bucket of S3 and its like (R2, MinIO)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from core import storage
from core.errors import StorageFailed
from core.keyring import KeyRing
from core.storage import Bucket, Place, Storage

Ring = Callable[[], KeyRing]

# S3 takes parts of at least 5 MiB.
PART_BYTES: Final = 8 << 20
CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 20
TRIES: Final = 3


async def open(place: Place, ring: Ring, *, served_at: str) -> Storage:  # noqa: A001 - the verb
    """The driver of a place; `served_at` is the path at which a folder's tickets are redeemed, and
    `ring` tells the key ring as it is by then.
    """
    if isinstance(place, Bucket):
        return await BucketStorage.open(place)
    return FolderStorage(place.path, ring, served_at)


class FolderStorage:
    """A folder. A file is written beside its place, made durable, and put there with one rename."""

    def __init__(self, folder: Path, ring: Ring, served_at: str) -> None:
        self._folder = folder
        self._ring = ring
        self._served_at = served_at

    def path(self, key: str) -> Path:
        """Where the file of a key is, if there is one."""
        return self._folder / storage.check_key(key)

    async def put(self, key: str, chunks: AsyncIterator[bytes], media_type: str) -> int:  # noqa: ARG002 - a folder has none
        """As the protocol says."""
        path = self.path(key)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with _failures():
            file = await asyncio.to_thread(_create, beside)
        try:
            size = 0
            async for part in parts(chunks):
                with _failures():
                    size += await asyncio.to_thread(file.write, part)
            with _failures():
                await asyncio.to_thread(_settle, file, beside, path)
        except BaseException:
            file.close()
            beside.unlink(missing_ok=True)
            raise
        return size

    async def delete(self, key: str) -> None:
        """As the protocol says."""
        with _failures():
            await asyncio.to_thread(self.path(key).unlink, missing_ok=True)

    async def url(self, key: str, *, now_s: int, ttl_s: int) -> str:
        """As the protocol says."""
        return f"{self._served_at}/{storage.ticket(self._ring(), key, now_s + ttl_s)}"

    async def close(self) -> None:
        """Nothing is held open."""


class BucketStorage:
    """A bucket. Small files go up whole, large ones in parts that count together or not at all."""

    def __init__(self, bucket: Bucket, client: Any, stack: contextlib.AsyncExitStack) -> None:
        self._bucket = bucket
        self._client = client
        self._stack = stack

    @classmethod
    async def open(cls, bucket: Bucket) -> BucketStorage:
        """Make a client; it connects when it is first used."""
        # Heavy, and of no use to whoever has a folder.
        import aioboto3
        from botocore.config import Config

        stack = contextlib.AsyncExitStack()
        session = aioboto3.Session(
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
            region_name=bucket.region,
        )
        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"max_attempts": TRIES, "mode": "standard"},
            # Not all that speak like S3 know the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = await stack.enter_async_context(
            session.client("s3", endpoint_url=bucket.endpoint, config=config)
        )
        return cls(bucket, client, stack)

    async def put(self, key: str, chunks: AsyncIterator[bytes], media_type: str) -> int:
        """As the protocol says."""
        named = self._named(key)
        pieces = parts(chunks)
        first = await anext(pieces, b"")
        second = await anext(pieces, None)
        if second is None:
            with _failures():
                await self._client.put_object(**named, Body=first, ContentType=media_type)
            return len(first)
        return await self._put_parts(named, [first, second], pieces, media_type)

    async def delete(self, key: str) -> None:
        """As the protocol says."""
        with _failures():
            await self._client.delete_object(**self._named(key))

    async def url(self, key: str, *, now_s: int, ttl_s: int) -> str:  # noqa: ARG002 - signed by its own clock
        """As the protocol says."""
        name = key.rpartition("/")[2]
        shown = {"ResponseContentDisposition": f'attachment; filename="{name}"'}
        with _failures():
            url: str = await self._client.generate_presigned_url(
                "get_object", Params={**self._named(key), **shown}, ExpiresIn=ttl_s
            )
        return url

    async def close(self) -> None:
        """Close the client's connections."""
        await self._stack.aclose()

    async def _put_parts(
        self, named: dict[str, str], begun: list[bytes], rest: AsyncIterator[bytes], media_type: str
    ) -> int:
        with _failures():
            upload = await self._client.create_multipart_upload(**named, ContentType=media_type)
        named = {**named, "UploadId": upload["UploadId"]}
        try:
            sent: list[dict[str, Any]] = []
            size = 0
            async for part in _chain(begun, rest):
                with _failures():
                    answer = await self._client.upload_part(
                        **named, PartNumber=len(sent) + 1, Body=part
                    )
                sent.append({"ETag": answer["ETag"], "PartNumber": len(sent) + 1})
                size += len(part)
            with _failures():
                await self._client.complete_multipart_upload(
                    **named, MultipartUpload={"Parts": sent}
                )
        except BaseException:
            with contextlib.suppress(StorageFailed), _failures():
                await self._client.abort_multipart_upload(**named)
            raise
        return size

    def _named(self, key: str) -> dict[str, str]:
        path = "/".join(filter(None, (self._bucket.prefix, storage.check_key(key))))
        return {"Bucket": self._bucket.name, "Key": path}


async def parts(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in parts of PART_BYTES, the last one smaller."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= PART_BYTES:
            yield bytes(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
    if waiting:
        yield bytes(waiting)


async def _chain(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for part in first:
        yield part
    async for part in rest:
        yield part


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _settle(file: BinaryIO, beside: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    beside.replace(path)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """What the disk or the other server says, as StorageFailed; never with what is stored."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"The disk refused: {error.strerror}.") from error
    except Exception as error:
        # botocore is not loaded for a folder, and makes its classes while it runs.
        if not type(error).__module__.startswith(("botocore", "aiobotocore", "aiohttp")):
            raise
        raise StorageFailed(f"The storage refused: {type(error).__name__}.") from error
