"""The key ring follows its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import errors, keyring
from tests.conftest import RING
from web.keyfile import KeyFile

ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(range(32, 64)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    path.write_bytes(keyring.dump(RING))
    return path


def test_a_changed_file_is_read_once(path: Path) -> None:
    keys = KeyFile(path)
    assert not keys.look()
    path.write_bytes(keyring.dump(ROTATED))
    assert keys.look()
    assert keys.current.field == ROTATED.field
    assert not keys.look()


def test_a_new_key_is_known_and_not_yet_used(path: Path) -> None:
    keys = KeyFile(path)
    path.write_bytes(keyring.dump(ROTATED))
    keys.look()
    assert keys.current.active_field == RING.active_field
    # Until the old one is gone, or the process is another one.
    path.write_bytes(keyring.dump(keyring.retire(ROTATED, "field", RING.active_field)))
    keys.look()
    assert keys.current.active_field == ROTATED.active_field


def test_a_file_that_is_broken_or_gone_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyFile(path)
    path.write_text("{")
    assert not keys.look()
    path.unlink()
    assert not keys.look()
    assert keys.current == RING
    assert "cannot be read" in caplog.text
    with pytest.raises(OSError):
        KeyFile(path)
    path.write_text("{")
    with pytest.raises(errors.BadKeyRing):
        KeyFile(path)
