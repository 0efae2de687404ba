"""Logs: one JSON object a line on stderr, written by a thread, so that no request waits for it.

No personal data and no secret belongs in a message. Should one come along all the same (in the
text of a library's exception, say), `scrub` blanks what looks like one; the text of an exception
is not written at all, except for those of the operating system.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import re
import sys
import time
import traceback
from collections.abc import Mapping
from logging.handlers import QueueHandler, QueueListener
from typing import Final, TextIO

import msgspec

from web import request_id

QUEUE_MAX: Final = 10_000
BLANK: Final = "***"

_SECRET_KEY: Final = re.compile(
    r"authorization|cookie|password|passwd|secret|token|api[-_]?key|signature|private"
    r"|credential|verifier|nonce|(?:^|_)(?:otp|pin|seed)$|_codes?$"
    r"|phone|mobile|e?mail|address|^(?:(?:first|last|full|display)_)?name$|(?:^|_)ip$",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)"
    r"|(?<=\bbearer )\S+|(?<=\bbasic )\S+"  # credentials of a header
    r"|(?<=[?&;])(?:[\w-]*(?:token|secret|password|signature)|code|state|key|sig)=[^&\s\"']*"
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|\b(?:sgr?|whsec|whsk)_[\w+/=-]+"  # an API key, a refresh token, a secret of webhooks
    r"|\botpauth://\S+"  # the seed of a second factor
    r"|\$(?:argon2|2[aby])[\w$,=./+-]+"  # a password's hash
    r"|(?<=://)[^/@\s]+(?=@)"  # the credentials in a URL
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # a mail address
    r"|\+\d[\d ()-]{6,18}\d"  # a phone number
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b"  # an IPv4 address
    r"|(?<![\w:.])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])"  # an IPv6 address
    r"|(?<![\w:.])(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}(?![\w:])"  # with a gap
    r"|(?<![\w:.])(?:[0-9a-f]{1,4}:){1,7}:(?![\w:])",  # with its end left out
    re.IGNORECASE,
)


def start(level: str, stream: TextIO | None = None) -> QueueListener:
    """Send all logging of this process to `stream` (stderr); stop the listener to flush it."""
    out = logging.StreamHandler(sys.stderr if stream is None else stream)
    out.setFormatter(_Formatter())
    records: queue.Queue[object] = queue.Queue(QUEUE_MAX)
    listener = QueueListener(records, out)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(records)]
    root.setLevel(level.upper())
    # What it says at `debug` has bodies and signatures.
    logging.getLogger("botocore").setLevel(max(root.level, logging.INFO))
    listener.start()
    atexit.register(_stop, listener)
    return listener


def redact(fields: Mapping[str, object]) -> dict[str, object]:
    """The same mapping with the values of telling keys blanked, at any depth."""
    return {
        key: BLANK if _SECRET_KEY.search(key) else _redacted(value) for key, value in fields.items()
    }


def scrub(text: str) -> str:
    """The same text with everything blanked that looks like a secret or a person's address."""
    return _SECRET_TEXT.sub(BLANK, text)


def _redacted(value: object) -> object:
    match value:
        case Mapping():
            return redact(value)
        case list() | tuple():
            return [_redacted(item) for item in value]
        case str():
            return scrub(value)
        case _:
            return value


class _Handler(QueueHandler):
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Note what only the task of the request knows; the rest is the listener's work."""
        record.request_id = request_id.current.get()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Drop the record when the listener is far behind: a log must not hold up a request."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line; `extra={"fields": {…}}` of the call is added, redacted."""
        line: dict[str, object] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage()),
        }
        if name := getattr(record, "request_id", ""):
            line["request_id"] = name
        if isinstance(fields := getattr(record, "fields", None), Mapping):
            line.update(redact(fields))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _described(record.exc_info[1])
        return msgspec.json.encode(line, enc_hook=repr).decode()


def _described(error: BaseException) -> dict[str, object]:
    """What was raised and where. The text may quote a person's data, so it stays out."""
    described: dict[str, object] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    if isinstance(error, OSError) and error.strerror:
        described["reason"] = scrub(error.strerror)
    frames = traceback.extract_tb(error.__traceback__)
    described["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    if error.__cause__ is not None:
        described["cause"] = _described(error.__cause__)
    return described


def _timestamp(created_s: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created_s))
    return f"{whole}.{int(created_s % 1 * 1000):03d}Z"


def _stop(listener: QueueListener) -> None:
    with contextlib.suppress(AttributeError):  # it was stopped before
        listener.stop()
