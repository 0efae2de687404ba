"""Sealed fields and their hashes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import fields, keyring
from core.errors import BadField

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
NONCE = bytes(fields.NONCE_BYTES)


@given(st.text(max_size=300))
def test_what_was_sealed_opens_also_after_a_rotation(text: str) -> None:
    stored = fields.seal(RING, text, "member.name:mem_1", NONCE)
    assert fields.unseal(RING, stored, "member.name:mem_1") == text
    assert fields.unseal(ROTATED, stored, "member.name:mem_1") == text


def test_a_rotated_ring_seals_with_its_new_key() -> None:
    stored = fields.seal(ROTATED, "Asha", "member.name:mem_1", NONCE)
    assert fields.key_name(stored) == ROTATED.active_field != RING.active_field
    with pytest.raises(BadField, match="no field key"):
        fields.unseal(RING, stored, "member.name:mem_1")


def test_a_value_in_another_row_does_not_open() -> None:
    stored = fields.seal(RING, "Asha", "member.name:mem_1", NONCE)
    with pytest.raises(BadField):
        fields.unseal(RING, stored, "member.name:mem_2")


@given(st.data())
def test_a_changed_value_does_not_open(data: st.DataObject) -> None:
    stored = fields.seal(RING, "Asha", "c", NONCE)
    at = data.draw(st.integers(0, len(stored) - 1))
    changed = bytearray(stored)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadField):
        fields.unseal(RING, bytes(changed), "c")


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x02\x01a", b"\x01\xff" + bytes(20)])
def test_what_is_no_sealed_field_is_refused(stored: bytes) -> None:
    with pytest.raises(BadField):
        fields.unseal(RING, stored, "c")


def test_a_nonce_of_another_length_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        fields.seal(RING, "Asha", "c", b"short")


def test_equal_values_have_equal_hashes() -> None:
    first = fields.blind(RING, "a@example.com", "contact.email")
    assert fields.blind(RING, "a@example.com", "contact.email") == first
    assert fields.blind(ROTATED, "a@example.com", "contact.email") != first
    assert fields.blind(RING, "b@example.com", "contact.email") != first
    assert fields.blind(RING, "a@example.com", "contact.phone") != first


def test_a_value_is_found_under_every_key() -> None:
    both = fields.blinds(ROTATED, "a@example.com", "contact.email")
    assert len(set(both)) == 2
    alone = msgspec.structs.replace(
        ROTATED, field={ROTATED.active_field: ROTATED.field[ROTATED.active_field]}
    )
    assert fields.blind(alone, "a@example.com", "contact.email") == both[1]
    assert fields.blind(ROTATED, "a@example.com", "contact.email") == both[1]
    assert fields.blind(RING, "a@example.com", "contact.email") == both[0]
