"""The gateway reads the providers file when it starts, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.errors import BadSetting
from core.settings import Settings
from gateway import providers
from gateway.app import App

BAD = '[social.google]\nclient_id = "id"\n'
GOOD = BAD + 'client_secret = "do-not-show"\n'


def with_file(settings: Settings, path: Path, content: str) -> Settings:
    path.write_text(content)
    return msgspec.structs.replace(settings, providers_file=str(path))


def test_without_a_file_there_are_no_providers(settings: Settings) -> None:
    assert providers.social(settings) == {}


def test_the_ending_says_what_is_in_the_file(settings: Settings, tmp_path: Path) -> None:
    toml = with_file(settings, tmp_path / "providers.toml", GOOD)
    assert list(providers.social(toml)) == ["google"]
    json = '{"social": {"spotify": {"client_id": "id"}}}'
    assert list(providers.social(with_file(settings, tmp_path / "p.json", json))) == ["spotify"]


async def test_a_bad_file_stops_the_start_and_names_its_field(
    settings: Settings, tmp_path: Path
) -> None:
    bad = with_file(settings, tmp_path / "providers.toml", BAD)
    with pytest.raises(BadSetting, match=r"^STAMPGATE_PROVIDERS_FILE: social\.google: .*secret"):
        await App.open(bad)


def test_a_file_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    missing = msgspec.structs.replace(settings, providers_file=str(tmp_path / "none.toml"))
    with pytest.raises(BadSetting, match=r"^STAMPGATE_PROVIDERS_FILE: .*none\.toml"):
        providers.social(missing)
