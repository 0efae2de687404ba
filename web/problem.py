"""Bodies: what a request must be to be decoded, how a reply and an error are written.

A body is decoded once, by msgspec, into the type that the route names. Two things that msgspec
lets pass are looked for afterwards: a key that stands twice in one object (the two readers of a
body could take different ones), and U+0000 in a text (which PostgreSQL cannot store).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from multidict import MultiMapping

from core import languages, messages
from core.errors import (
    InvalidJson,
    InvalidRequest,
    MethodNotAllowed,
    RateLimited,
    StampgateError,
    Unauthorized,
)
from web.headers import NO_STORE, SECURITY

T = TypeVar("T")
Query = TypeVar("Query", bound=msgspec.Struct)

PROBLEM_TYPE: Final = "urn:stampgate:error:"
# Of draft-ietf-httpapi-ratelimit-headers-10.
QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """An error as the client sees it; `code` is the word to program against."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] | msgspec.UnsetType = msgspec.UNSET
    violated_policies: list[str] | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="violated-policies"
    )


_encode: Final = msgspec.json.Encoder().encode
_PATH: Final = re.compile(r"^(?P<detail>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)]|\[\.\.\.]")


def reply(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`value` as JSON."""
    return web.Response(body=_encode(value), status=status, headers=headers, content_type=JSON)


def problem(
    error: StampgateError, request_id: str = "", language: str = languages.DEFAULT
) -> web.Response:
    """The error as RFC 9457 problem details, with the headers that its status asks for."""
    text = messages.text(error, language)
    document = Problem(
        type=PROBLEM_TYPE + error.code,
        title=error.title,
        status=error.status,
        code=error.code,
        detail=text.detail,
        errors=error.errors or msgspec.UNSET,
    )
    if isinstance(error, RateLimited) and error.standing is not None:
        document.type = QUOTA_EXCEEDED
        document.violated_policies = [error.standing.policy.name]
    headers = {
        **SECURITY,
        "Cache-Control": NO_STORE,
        "Content-Language": text.language,
    }
    if request_id:
        headers["Request-Id"] = request_id
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allow)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        body=_encode(document), status=error.status, headers=headers, content_type=PROBLEM_JSON
    )


def decode(
    decoder: msgspec.json.Decoder[T],
    body: bytes,
    *,
    is_checked: bool = False,
    quotes: Callable[[T], int] | None = None,
) -> T:
    """The body as the decoder's type, or raise InvalidJson (400) or InvalidRequest (422).

    `is_checked` for a part of a body that was decoded as a whole. `quotes` says how many quotation
    marks a value's own members need: a body without more has no key twice, as is cheap to see.
    """
    try:
        if not body.isascii():
            body.decode()
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_bad_json(body)
        raise _invalid_request(str(error), "pointer") from None
    except msgspec.DecodeError as error:
        raise InvalidJson(str(error)) from None
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None
    if is_checked or (quotes is not None and _has_only(quotes(value), body)):
        return value
    if _may_repeat_a_key(body):
        strict = _strict(body)
        # Unescaped it is no JSON at all.
        if b"\\u0000" in body and _has_nul(strict):
            raise InvalidRequest("A text contains the character U+0000.")
    return value


def decode_query(kind: type[Query], query: MultiMapping[str]) -> Query:
    """The query parameters as `kind`, a Struct of optional texts and numbers; or InvalidRequest."""
    values = dict(query)
    if len(values) != len(query):
        raise InvalidRequest("A query parameter is given twice.")
    if any("\x00" in text for text in values.values()):
        raise InvalidRequest("A query parameter contains the character U+0000.")
    try:
        found = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid_request(str(error), "parameter") from None
    for field in msgspec.structs.fields(found):
        # Where texts may be numbers, msgspec takes a number for seconds since the epoch.
        is_moment = isinstance(getattr(found, field.name), dt.datetime)
        if is_moment and ":" not in values[field.encode_name]:
            raise _invalid_request(f"Invalid RFC3339 - at `$.{field.encode_name}`", "parameter")
    return found


def _invalid_request(message: str, place: str) -> InvalidRequest:
    match = _PATH.match(message)
    detail, path = (match["detail"], match["path"]) if match else (message, None)
    where = _pointer(path or "")
    if place == "parameter":
        where = where.removeprefix("/")
    return InvalidRequest(message, errors=[{"detail": detail, place: where}])


def _pointer(path: str) -> str:
    """The JSON pointer of a msgspec path, as far as msgspec knows it (not the keys of a dict)."""
    steps = []
    for step in _STEP.finditer(path):
        name = step[1] or step[2]
        if name is None:
            break
        steps.append("/" + name.replace("~", "~0").replace("/", "~1"))
    return "".join(steps)


def _refuse_bad_json(body: bytes) -> None:
    """The shape may be found wrong before the end of the body is seen; then that is not JSON."""
    try:
        msgspec.json.decode(body)
    except msgspec.ValidationError:
        return
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(str(error)) from None
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None


def _has_only(quotes: int, body: bytes) -> bool:
    return body.count(b'"') == quotes and b"\\" not in body


def _may_repeat_a_key(body: bytes) -> bool:
    """False when all texts of the body, keys and values, differ: the usual small body."""
    texts = body.split(b'"')[1::2]
    return b"\\" in body or len(set(texts)) != len(texts)


def _strict(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidJson(str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("A key stands twice in an object.")
    return members


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\x00" in value
        case list():
            return any(map(_has_nul, value))
        case dict():
            return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
        case _:
            return False
