from __future__ import annotations

from pathlib import Path

import pytest

from core import keyring, storage
from core.errors import BadStorage, BadTicket
from core.storage import Bucket, Folder

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
KEY = "exports/prg_1/exp_1.json"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///srv/files", Folder(Path("/srv/files"))),
        ("file:.stampgate/storage", Folder(Path(".stampgate/storage"))),
        ("file:///srv/a%20b", Folder(Path("/srv/a b"))),
        ("s3://files", Bucket("files")),
        ("s3://files/a/b/?region=eu-west-1", Bucket("files", "a/b", region="eu-west-1")),
        (
            "s3://AK:s%2Fk@files?endpoint=https://x.r2.cloudflarestorage.com&region=auto",
            Bucket("files", "", "https://x.r2.cloudflarestorage.com", "auto", "AK", "s/k"),
        ),
    ],
)
def test_a_url_names_a_place(url: str, place: storage.Place) -> None:
    assert storage.parse(url) == place


@pytest.mark.parametrize(
    "url",
    ["", "files", "file://", "file://host/files", "s3://", "s3://files?acl=public", "ftp://a/b"],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(BadStorage):
        storage.parse(url)


def test_a_ticket_is_good_also_after_a_rotation_and_for_its_ring_alone() -> None:
    text = storage.ticket(RING, KEY, 100)
    rotated = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(range(32, 64)))
    assert storage.redeem(rotated, text, 99) == KEY
    with pytest.raises(BadTicket):
        storage.redeem(keyring.retire(rotated, "field", RING.active_field), text, 99)


def test_a_changed_ticket_is_no_ticket() -> None:
    text = storage.ticket(RING, KEY, 100)
    for number in range(len(text)):
        other = "A" if text[number] != "A" else "B"
        changed = text[:number] + other + text[number + 1 :]
        try:
            # The last character has bits that say nothing.
            assert storage.redeem(RING, changed, 99) == KEY
            assert number == len(text) - 1
        except BadTicket:
            pass
    for junk in ("", "é", "a", "====", text[:-4]):
        with pytest.raises(BadTicket):
            storage.redeem(RING, junk, 99)
