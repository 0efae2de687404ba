"""A name for each request, for the client, the logs and the processes behind us."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

HEADER: Final = "Request-Id"

# Set by an app for the task of a request; read by the logs.
current: Final[ContextVar[str]] = ContextVar("request_id", default="")

_is_sane: Final = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch
# One draw for the process and a number for the request: unique, and nearly free.
_prefix: Final = secrets.token_hex(6)
_number: Final = itertools.count(1)


def assign(headers: Mapping[str, str]) -> str:
    """The id that the client sent, if it is sane; else a new one."""
    return given(headers) or fresh()


def given(headers: Mapping[str, str]) -> str | None:
    """The id that the client sent, if it is sane."""
    name = headers.get("X-Request-Id") or headers.get(HEADER)
    return name if name is not None and _is_sane(name) else None


def fresh() -> str:
    """A new id."""
    return f"{_prefix}-{next(_number):x}"
