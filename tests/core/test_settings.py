from ipaddress import ip_network
from pathlib import Path

import pytest

from core import settings
from core.errors import BadSetting

REQUIRED = {
    "STAMPGATE_DATABASE_URL": "postgresql://app:hunter2@db/stampgate",
    "STAMPGATE_REDIS_URL": "redis://state",
    "STAMPGATE_QUEUE_URL": "unix:///run/queue.sock",
}


def test_three_urls_are_enough() -> None:
    loaded = settings.load(REQUIRED)
    assert loaded.gateway_port == 8080
    assert loaded.durability == "always"
    assert loaded.migration_url == loaded.flusher_url == loaded.database_url
    assert loaded.public_redirector_url == "http://127.0.0.1:8081"
    assert loaded.webhook_delays_s[:3] == (0, 5, 300)


def test_texts_become_numbers_and_others_are_ignored() -> None:
    loaded = settings.load(
        REQUIRED | {"STAMPGATE_GATEWAY_PORT": "9999", "STAMPGATE_NO_SUCH": "1", "HOME": "/root"}
    )
    assert loaded.gateway_port == 9999


def test_an_empty_variable_is_not_set() -> None:
    loaded = settings.load(REQUIRED | {"STAMPGATE_GATEWAY_PORT": "", "STAMPGATE_SPOOL_DIR": ""})
    assert loaded.gateway_port == 8080
    assert loaded.spool_dir == ".stampgate/spool"


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name}: is required$"):
        settings.load(REQUIRED | {name: ""})


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("GATEWAY_PORT", "eighty", "Expected `int`"),
        ("GATEWAY_PORT", "65536", "Expected `int` <= 65535"),
        ("GATEWAY_PROCESSES", "0", "Expected `int` >= 1"),
        ("DURABILITY", "sometimes", "Invalid enum value"),
        ("REDIS_URL", "http://state", "matching regex"),
        ("DATABASE_URL", "mysql://db", "matching regex"),
        ("WEBHOOK_SCHEDULE_S", "5;6", "matching regex"),
        ("PREFETCH_STATUS", "302", "Expected `int` >= 400"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "'10.0.0.0/33' does not appear"),
        ("SPOOL_MAX_BYTES", "4096", "Expected at most"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, problem: str) -> None:
    with pytest.raises(BadSetting) as caught:
        settings.load(REQUIRED | {f"STAMPGATE_{name}": value})
    assert str(caught.value).startswith("STAMPGATE_")
    assert problem in str(caught.value)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:secret@state\n")
    environ = REQUIRED | {"STAMPGATE_REDIS_URL": "", "STAMPGATE_REDIS_URL_FILE": str(file)}
    assert settings.load(environ).redis_url == "redis://:secret@state"


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"^STAMPGATE_REDIS_URL_FILE: .* given as well"):
        settings.load(REQUIRED | {"STAMPGATE_REDIS_URL_FILE": str(tmp_path / "url")})


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"^STAMPGATE_FLUSH_URL_FILE: cannot read"):
        settings.load(REQUIRED | {"STAMPGATE_FLUSH_URL_FILE": str(tmp_path / "none")})


def test_trusted_proxies_are_networks() -> None:
    loaded = settings.load(REQUIRED | {"STAMPGATE_TRUSTED_PROXIES": "10.0.0.0/8, ::1"})
    assert loaded.trusted_networks == (ip_network("10.0.0.0/8"), ip_network("::1"))


def test_passwords_are_not_shown() -> None:
    assert "hunter2" not in repr(settings.load(REQUIRED))


@pytest.mark.parametrize("value", ["max-age=0", "max-age=31536000; includeSubDomains; preload", ""])
def test_strict_transport_is_off_or_a_header(value: str) -> None:
    chosen = settings.load({**REQUIRED, "STAMPGATE_STRICT_TRANSPORT_SECURITY": value})
    assert chosen.strict_transport_security == value


@pytest.mark.parametrize("value", ["on", "max-age=1\r\nX: y", "max-age=-1", "max-age=1; other"])
def test_a_bad_strict_transport_stops_the_start(value: str) -> None:
    with pytest.raises(BadSetting, match="STRICT_TRANSPORT"):
        settings.load({**REQUIRED, "STAMPGATE_STRICT_TRANSPORT_SECURITY": value})
