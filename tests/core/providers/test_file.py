"""The providers file, and what a bad one says."""

from __future__ import annotations

import pytest

from core.errors import BadSetting
from core.providers import file
from core.providers.social import builtin

TOML = b"""
[social.google]
client_id = "id.apps.example.test"
client_secret = "do-not-show"

[social.spotify]
client_id = "0123456789abcdef"
"""


def test_a_file_sets_up_the_providers_that_it_names() -> None:
    assert set(builtin.make(file.parse(TOML, is_toml=True)["social"])) == {"google", "spotify"}


def test_json_is_good_too() -> None:
    content = b'{"social": {"facebook": {"client_id": "1", "client_secret": "2"}}}'
    assert set(builtin.make(file.parse(content, is_toml=False)["social"])) == {"facebook"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[social.google", "it is not TOML"),
        (b"\xff", "it is not TOML"),
        (b"social = 1", "Expected `object`"),
        (b"[social]\ngoogle = 1", "Expected `object`"),
        (b"[music.spotify]\nclient_id = 'x'", "music: there is no such kind of provider"),
    ],
)
def test_a_bad_file_is_named(content: bytes, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        file.parse(content, is_toml=True)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"myspace": {}}, "social.myspace: there is no such provider"),
        ({"google": {"client_id": "do-not-show"}}, "social.google: .*`client_secret`"),
        ({"google": {"client_id": "a", "client_secret": "b", "clientid": "c"}}, "`clientid`"),
        ({"spotify": {"client_id": ""}}, "client_id"),
        ({"spotify": {"client_id": "a", "exchange_url": "http://x.test/"}}, "exchange_url"),
    ],
    ids=str,
)
def test_a_bad_section_is_named_without_its_values(section: dict[str, object], said: str) -> None:
    with pytest.raises(BadSetting, match=said) as refusal:
        builtin.make(section)
    assert "do-not-show" not in str(refusal.value)
