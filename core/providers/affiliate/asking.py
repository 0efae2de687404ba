"""Asking a network's API: one request, the answer or a kind of PullFailed, and OAuth tokens.

What fails never names an address, a header or a body: credentials stand in all three.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from core.http import (
    HttpRequest,
    HttpResponse,
    OutboundError,
    OutboundRefused,
    OutboundTooLarge,
    Send,
)
from core.providers.affiliate import fields
from core.providers.affiliate.protocol import (
    AnswerTooLarge,
    AuthRefused,
    BadAnswer,
    Temporary,
    Throttled,
)
from core.providers.affiliate.report import Unreadable

TIMEOUT_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 8 << 20
#: When the network does not say how long to wait.
RETRY_AFTER_S: Final = 60.0
RETRY_AFTER_MAX_S: Final = 3600.0

REFUSALS: Final = frozenset({401, 403})
# RFC 6749 §5.2: a token endpoint has 400 also for a client that is not known.
TOKEN_REFUSALS: Final = REFUSALS | {400}
_TEMPORARY: Final = frozenset({408, 425, *range(500, 600)})
#: Of a body that is a form.
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

Renew = Callable[[Send, dict[str, Any] | None], Awaitable[dict[str, Any]]]


async def ask(
    send: Send, request: HttpRequest, refusals: frozenset[int] = REFUSALS
) -> HttpResponse:
    """The answer if it is a 2xx; a kind of PullFailed for all others."""
    try:
        response = await send(request)
    except OutboundTooLarge:
        raise AnswerTooLarge("the answer is too large") from None
    except OutboundRefused:
        raise BadAnswer("the address of the API cannot be called") from None
    except OutboundError:
        raise Temporary("the network did not answer") from None
    status = response.status
    if 200 <= status < 300:
        return response
    if status in refusals:
        raise AuthRefused("the network does not take the credentials")
    if status == 429:
        raise Throttled(_retry_after_s(response.headers))
    if status in _TEMPORARY:
        raise Temporary(f"the network answered {status}", status)
    raise BadAnswer(f"the network answered {status}")


def get(
    url: str, query: list[tuple[str, str]], headers: Mapping[str, str], purpose: str
) -> HttpRequest:
    """A GET of JSON that may be long."""
    return _request("GET", f"{url}?{urlencode(query)}", headers, purpose)


def post(url: str, body: bytes, headers: Mapping[str, str], purpose: str) -> HttpRequest:
    """A POST for JSON that may be long."""
    return _request("POST", url, headers, purpose, body)


def decoded(response: HttpResponse) -> Any:
    """The answer's JSON, or BadAnswer."""
    try:
        return fields.decoded(response.body)
    except Unreadable:
        raise BadAnswer("the network's answer is not JSON, or was cut off") from None


def table(response: HttpResponse) -> dict[str, Any]:
    """The answer's JSON object, or BadAnswer."""
    return inner(decoded(response))


def inner(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, or BadAnswer."""
    if not isinstance(value, dict):
        raise BadAnswer("the network's answer is not the known one")
    return value


def rows(value: Any) -> list[Any]:
    """The value if it is a list, or BadAnswer."""
    if not isinstance(value, list):
        raise BadAnswer("the network's answer has no list of transactions")
    return value


def whole(value: Any) -> int:
    """A count or the number of a page, which may come as a text; or BadAnswer."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise BadAnswer("the network's answer does not say how many there are") from None


def basic(user: str, password: str) -> str:
    """The Authorization header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def given(credentials: Any) -> Any:
    """The credentials, or AuthRefused when the account has none."""
    if credentials is None:
        raise AuthRefused("the account has no credentials")
    return credentials


async def token(
    send: Send, url: str, form: Mapping[str, str], headers: Mapping[str, str], purpose: str
) -> dict[str, Any]:
    """The answer of a token endpoint (RFC 6749 §5.1); PullFailed."""
    request = post(url, urlencode(form).encode(), {**FORM, **headers}, purpose)
    answer = table(await ask(send, request, TOKEN_REFUSALS))
    text = answer.get("access_token")
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        raise BadAnswer("the network's answer has no token")
    return answer


class Bearer:
    """An OAuth token: had when it is first needed, and once anew when it is refused.

    `renew` is given the last answer of the token endpoint, or None.
    """

    def __init__(self, renew: Renew) -> None:
        self._renew = renew
        self._answer: dict[str, Any] | None = None

    async def ask(self, send: Send, request: HttpRequest) -> HttpResponse:
        """The answer to the request with the token in it; PullFailed."""
        if self._answer is not None:
            with suppress(AuthRefused):
                return await self._ask(send, request, self._answer)
        previous, self._answer = self._answer, None
        self._answer = await self._renew(send, previous)
        return await self._ask(send, request, self._answer)

    @staticmethod
    async def _ask(send: Send, request: HttpRequest, answer: dict[str, Any]) -> HttpResponse:
        headers = {**request.headers, "Authorization": f"Bearer {answer['access_token']}"}
        return await ask(send, msgspec.structs.replace(request, headers=headers))


def _request(
    method: str, url: str, headers: Mapping[str, str], purpose: str, body: bytes = b""
) -> HttpRequest:
    return HttpRequest(
        method=method,
        url=url,
        purpose=purpose,
        headers={"Accept": "application/json", **headers},
        body=body,
        timeout_s=TIMEOUT_S,
        answer_bytes_max=ANSWER_BYTES_MAX,
    )


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """What the network says in seconds; a date would need a clock."""
    for name in ("retry-after", "x-ratelimit-reset"):
        value = headers.get(name, "")
        if value.isascii() and value.isdigit() and len(value) < 10:
            return min(max(float(value), 1.0), RETRY_AFTER_MAX_S)
    return RETRY_AFTER_S
