from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from web import logs, request_id

PHONE, MAIL, IP = "+33 6 12 34 56 78", "jane.doe@example.org", "203.0.113.7"
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
log = logging.getLogger("stampgate.test")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    listener = logs.start("info", stream)

    def read() -> list[dict[str, Any]]:
        listener.stop()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_json_with_the_id_of_its_request(lines: Lines) -> None:
    token = request_id.current.set("r-7")
    log.info("flushed %d rows", 5, extra={"fields": {"partition": "a01"}})
    request_id.current.reset(token)
    log.debug("not at this level")
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "stampgate.test",
        "message": "flushed 5 rows",
        "request_id": "r-7",
        "partition": "a01",
    }


def test_planted_personal_data_and_secrets_do_not_reach_the_log(lines: Lines) -> None:
    log.warning("%s %s %s %s", PHONE, MAIL, IP, TOKEN)
    log.warning("connecting to postgres://app:hunter2@db.internal/x with sg_live_abcdef")
    log.warning(
        "fields",
        extra={"fields": {"phone": PHONE, "member": {"email": MAIL}, "notes": [TOKEN, "fine"]}},
    )
    text = json.dumps(lines())
    for secret in (PHONE, "34 56 78", MAIL, IP, TOKEN, "hunter2", "abcdef"):
        assert secret not in text
    assert "fine" in text


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz!", "authorization: basic ***"),
        (
            "GET /callback?state=s3cret&code=4%2F0Ab&scope=openid",
            "GET /callback?***&***&scope=openid",
        ),
        ("/file?expires=5&signature=ab12", "/file?expires=5&***"),
        ("key sg_live-Ab+/=9 of prg_1", "key *** of prg_1"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "***"),
        ("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", "***"),
        ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA is slow", "*** is slow"),
        ("$2b$12$abcdefghijklmnopqrstuv", "***"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----.", "***."),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "***"),
        ("from 2001:db8:1:2:3:4:5:6 and 2001:db8::7, fe80::", "from *** and ***, ***"),
        ("peer ::1", "peer ::1"),
        ("at 12:30:45, ratio 3:4, {a01}:5:bal", "at 12:30:45, ratio 3:4, {a01}:5:bal"),
        ("error code=7 of 5 rows", "error code=7 of 5 rows"),
    ],
)
def test_what_looks_like_a_secret_is_blanked_and_the_rest_stays(text: str, scrubbed: str) -> None:
    assert logs.scrub(text) == scrubbed


def test_an_exception_says_what_and_where_but_not_its_text(lines: Lines) -> None:
    try:
        try:
            int(f"member Jane, {PHONE}")
        except ValueError as error:
            raise RuntimeError("award of Jane failed") from error
    except RuntimeError:
        log.exception("a request failed")
    (line,) = lines()
    assert line["error"]["type"] == "builtins.RuntimeError"
    assert line["error"]["cause"]["type"] == "builtins.ValueError"
    assert "test_logs.py" in line["error"]["frames"][0]
    assert "Jane" not in json.dumps(line)


def test_the_reason_of_the_operating_system_is_told(lines: Lines) -> None:
    try:
        open("/nowhere/at/all")  # noqa: SIM115, PTH123
    except OSError:
        log.exception("no file")
    assert lines()[0]["error"]["reason"] == "No such file or directory"


def test_redacting_goes_by_key_at_any_depth() -> None:
    fields = {"Authorization": "x", "nested": [{"api_key": 1, "route": "awards"}], "member_id": "m"}
    assert logs.redact(fields) == {
        "Authorization": "***",
        "nested": [{"api_key": "***", "route": "awards"}],
        "member_id": "m",
    }
    codes = {"otp": 1, "recovery_codes": [1], "code_verifier": "v", "nonce": "n", "code": "gone"}
    assert set(logs.redact(codes).values()) == {"***", "gone"}


def test_what_json_cannot_hold_is_described(lines: Lines) -> None:
    log.info("odd", extra={"fields": {"what": object}})
    assert "object" in lines()[0]["what"]


def test_bodies_and_signatures_are_not_told_at_any_level(lines: Lines) -> None:
    stream = io.StringIO()
    listener = logs.start("debug", stream)
    log.debug("of ours")
    logging.getLogger("botocore.auth").debug("of theirs")
    listener.stop()
    assert "of ours" in stream.getvalue()
    assert "of theirs" not in stream.getvalue()
