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


def test_what_json_cannot_hold_is_described(lines: Lines) -> None:
    log.info("odd", extra={"fields": {"what": object}})
    assert "object" in lines()[0]["what"]
