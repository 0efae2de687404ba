"""Names are one line that is seen as it is."""

from __future__ import annotations

import msgspec
import pytest

from core.names import Name


@pytest.mark.parametrize(
    "name",
    ["Tea & Co", "Größe <x@evil.example>", "आशा राव", "क्\u200dष", "می\u200cخواهم", "株式会社", ""],
)
def test_a_name_is_written_in_any_script(name: str) -> None:
    assert msgspec.convert(name, Name) == name


@pytest.mark.parametrize(
    "char",
    [
        *("\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\x9b"),
        *("\u200b", "\u2028", "\u2029", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\ufeff"),
    ],
)
def test_a_name_ends_no_line_and_hides_nothing(char: str) -> None:
    for name in (f"Tea{char}Bcc: x@example.com", f"Tea{char}", char):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(name, Name)
