"""Which passwords are good enough, and that the stored ones are verified."""

from __future__ import annotations

import bcrypt
import pytest

from core import passwords
from core.errors import PasswordTooWeak

pytestmark = pytest.mark.usefixtures("costly_passwords")

SALT = bytes(passwords.SALT_BYTES)


@pytest.mark.parametrize(
    "password",
    ["short", "x" * 129, "password", "PassWord123", "12345678", "aaaaaaaaaa", "abababab"],
)
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooWeak):
        passwords.check(password)


@pytest.mark.parametrize("password", ["asha.rao@example.com", "Asha.Rao", "asha kumari"])
def test_a_password_is_not_what_is_known_of_its_owner(password: str) -> None:
    with pytest.raises(PasswordTooWeak):
        passwords.check(password, "asha.rao@example.com", "Asha Kumari")


@pytest.mark.parametrize(
    "password", ["tea at noon", "ünïcödé wörds", "🍵🍵🫖🫖🍵🫖🍵🍫", "x" * 8 + "yz"]
)
def test_a_good_password_is_taken(password: str) -> None:
    passwords.check(password, "asha@example.com", "")


def test_a_password_is_verified() -> None:
    stored = passwords.hashed("tea at noon", SALT)
    assert passwords.verify(stored, "tea at noon")
    assert not passwords.verify(stored, "tea at nine")
    assert not passwords.is_dated(stored)


def test_one_text_in_two_spellings_is_one_password() -> None:
    stored = passwords.hashed("caf\u00e9 au lait", SALT)
    assert passwords.verify(stored, "cafe\u0301 au lait")


def test_a_bcrypt_hash_is_verified_and_dated() -> None:
    stored = bcrypt.hashpw(b"tea at noon", bcrypt.gensalt(4)).decode()
    assert passwords.verify(stored, "tea at noon")
    assert not passwords.verify(stored, "tea at nine")
    assert passwords.is_dated(stored)
    assert passwords.is_imported(stored)


def test_bcrypt_looked_at_72_bytes() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert passwords.verify(stored, "x" * 80)


def test_a_hash_with_other_parameters_is_dated() -> None:
    stored = passwords.hashed("tea at noon", SALT).replace("t=2", "t=3")
    assert passwords.is_dated(stored)
