"""A program's day is the calendar day where it lives, and its rules come from its settings."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import programs
from core.programs import ProgramSettings, UnitRules


def ms(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("UTC", "2026-01-31T23:59:59.999+00:00", "20260131"),
        ("UTC", "2026-02-01T00:00:00+00:00", "20260201"),
        # Half and quarter hours.
        ("Asia/Kolkata", "2026-01-31T18:29:59.999+00:00", "20260131"),
        ("Asia/Kolkata", "2026-01-31T18:30:00+00:00", "20260201"),
        ("Asia/Kathmandu", "2026-01-31T18:14:59.999+00:00", "20260131"),
        ("Asia/Kathmandu", "2026-01-31T18:15:00+00:00", "20260201"),
        ("Australia/Lord_Howe", "2026-01-31T13:00:00+00:00", "20260201"),
        # The day on which clocks go forward has 23 hours, the one on which they go back has 25.
        ("Europe/Berlin", "2026-03-28T23:00:00+00:00", "20260329"),
        ("Europe/Berlin", "2026-03-29T21:59:59.999+00:00", "20260329"),
        ("Europe/Berlin", "2026-03-29T22:00:00+00:00", "20260330"),
        ("Europe/Berlin", "2026-10-24T22:00:00+00:00", "20261025"),
        ("Europe/Berlin", "2026-10-25T22:59:59.999+00:00", "20261025"),
        ("Europe/Berlin", "2026-10-25T23:00:00+00:00", "20261026"),
        # West and east of the date line.
        ("Pacific/Kiritimati", "2026-01-31T10:00:00+00:00", "20260201"),
        ("Pacific/Pago_Pago", "2026-02-01T10:59:59.999+00:00", "20260131"),
    ],
)
def test_the_day_is_the_one_where_the_program_lives(zone: str, moment: str, day: str) -> None:
    assert programs.day(zone, ms(moment)) == day


@given(
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})),
    st.integers(ms("2020-01-01T00:00+00:00"), ms("2037-01-01T00:00+00:00")),
)
def test_the_day_is_the_calendars_at_every_moment(zone: str, now_ms: int) -> None:
    moment = dt.datetime.fromtimestamp(now_ms / 1000, zoneinfo.ZoneInfo(zone))
    assert programs.day(zone, now_ms) == f"{moment:%Y%m%d}"


def test_a_unit_without_rules_has_no_limits() -> None:
    settings = msgspec.json.decode(b'{"stamps":{"interval_s":60}}', type=ProgramSettings)
    assert settings.rules("points") == UnitRules(None, 0, None)
    assert settings.rules("stamps").interval_s == 60


@pytest.mark.parametrize(
    "text",
    [
        '{"points":{"per_member_day":-1}}',
        '{"points":{"budget":9007199254740992}}',
        '{"points":{"interval_s":1.5}}',
        '{"points":{"limit":1}}',
        '{"miles":{}}',
    ],
)
def test_rules_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=ProgramSettings)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.test/back",
        "https://app.example.test:8443/back?x=1",
        "http://127.0.0.1:5000/back",
        "http://localhost/",
        "http://[::1]/back",
        "com.example.app:/back",
    ],
)
def test_a_sign_in_ends_at_a_website_an_app_or_this_machine(url: str) -> None:
    settings = msgspec.convert({"sign_in_redirects": [url]}, ProgramSettings)
    assert settings.sign_in_redirects == [url]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://app.example.test/",
        "http://127.0.0.1.example.test/",
        "//app.example.test/",
        "https://app.example.test",
        "https://user@app.example.test/",
        "https://app.example.test/#part",
        "https://app.example.test/\\evil",
        "https://app.example.test/\n",
        "https:/app.example.test/",
        "https://app.example.test/" + "a" * 512,
        "myapp:/back",
        "",
    ],
)
def test_a_sign_in_ends_nowhere_else(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"sign_in_redirects": [url]}, ProgramSettings)
