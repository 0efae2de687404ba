"""Postbacks and rows as flat texts, whatever they came as: query, form or JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from core.providers.affiliate.report import Postback, Unreadable

FIELDS_MAX: Final = 200
DEPTH_MAX: Final = 8
RAW_FIELDS_MAX: Final = 100
RAW_TEXT_MAX: Final = 1000
#: Not kept with what is stored about a transaction.
_SECRET: Final = frozenset({"token", "sig", "signature", "secret", "api_key", "apikey", "password"})

# Numbers stay the digits that were sent: a float would lose some.
_json = msgspec.json.Decoder(float_hook=str)
# What a network leaves of a macro that it could not fill in.
_MACRO = re.compile(r"\{.*\}|\[.*\]|!!!.*!!!|#.*#", re.DOTALL)
_MACRO_BEGINS: Final = ("{", "[", "!!!", "#")


def received(postback: Postback) -> dict[str, str]:
    """All fields of query and body; Unreadable when they cannot be read, or differ."""
    fields: dict[str, str] = {}
    for name, value in (*_form(postback.query), *_body(postback)):
        if fields.setdefault(name, value) != value:
            raise Unreadable(f"{name[:40]!a} stands twice, with two values")
    return fields


def decoded(body: bytes | str) -> Any:
    """The JSON with numbers in their own digits; Unreadable if it is none, or cut off."""
    try:
        return _json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unreadable("the body is not JSON, or was cut off") from None


def flat(value: object) -> dict[str, str]:
    """The texts of a JSON object, inner ones as `outer.inner`; nulls and lists are left out."""
    if not isinstance(value, dict):
        raise Unreadable("expected a JSON object")
    fields: dict[str, str] = {}
    _flatten(value, "", fields, DEPTH_MAX)
    return fields


def filled(fields: Mapping[str, str]) -> dict[str, str]:
    """The values, without those that are empty or a macro still, by names in lower case."""
    stripped = {name.lower(): value.strip() for name, value in fields.items()}
    return {
        name: value
        for name, value in stripped.items()
        if value and not (value.startswith(_MACRO_BEGINS) and _MACRO.fullmatch(value))
    }


def raw(fields: Mapping[str, str]) -> dict[str, str]:
    """What is kept of the fields: not all of a flood of them, and no secrets."""
    kept = [pair for pair in fields.items() if pair[0].lower() not in _SECRET]
    return {_storable(name): _storable(value) for name, value in kept[:RAW_FIELDS_MAX]}


def _body(postback: Postback) -> list[tuple[str, str]]:
    body = postback.body
    if not body:
        return []
    kind = postback.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise Unreadable("a body in several parts is not read; send a form or JSON")
    if kind.endswith("json") or (kind in {"", "text/plain"} and body.lstrip()[:1] == b"{"):
        return list(flat(decoded(body)).items())
    try:
        return _form(body.decode())
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None


def _form(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace")
    except ValueError:
        raise Unreadable(f"it has more than {FIELDS_MAX} fields") from None


def _flatten(value: dict[Any, Any], prefix: str, fields: dict[str, str], depth: int) -> None:
    if not depth:
        raise Unreadable("the JSON is nested too deeply")
    for name, inner in value.items():
        match inner:
            case dict():
                _flatten(inner, f"{prefix}{name}.", fields, depth - 1)
            case bool():
                fields[prefix + name] = "true" if inner else "false"
            case str():
                fields[prefix + name] = inner
            case int():
                fields[prefix + name] = str(inner)
            case _:
                continue
        if len(fields) > FIELDS_MAX:
            raise Unreadable(f"it has more than {FIELDS_MAX} fields")


def _storable(text: str) -> str:
    """Cut, and without what PostgreSQL cannot keep: NUL, and bytes that were no UTF-8."""
    cut = text[:RAW_TEXT_MAX]
    if cut.isascii() and "\0" not in cut:
        return cut
    return cut.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
