"""What the providers of notifications share: how a call ends, and what each is set up with.

Few of them take a key under which a message could be repeated harmlessly, so what counts is what an
answer proves. No connection, 429 and 503 prove that nothing was sent. A silence after the request,
any other 5xx, and an answer that cannot be read prove nothing: the message may be on its way.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from core.http import (
    HttpRequest,
    HttpResponse,
    OutboundFailed,
    OutboundRefused,
    OutboundUnknown,
    Send,
)
from core.mail import Mailbox
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Unknown
from core.templates import Message

T = TypeVar("T")

#: No provider makes us wait for longer than that, whatever it asks for.
PATIENCE_S_MAX: Final = 86_400.0
#: Statuses that speak of our credentials, which are for the operator to repair.
OURS: Final = frozenset({401, 402, 403, 404, 405, 407})
#: Statuses that say that nothing was done, and that the same may be asked again.
LATER: Final = frozenset({408, 425, 429, 503})

# Their own words may repeat what we said; a code may not.
_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

Given = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[!-~]+$(?!\n)")]
Pem = Annotated[str, Meta(pattern=r"-----BEGIN [A-Z ]*PRIVATE KEY-----")]
# Plain http only to this machine, where tests have their servers.
Base = Annotated[
    str,
    Meta(pattern=r"^(https://[^/?#\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$(?!\n)"),
]
Url = Annotated[
    str,
    Meta(pattern=r"^(https://[^/?#\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)/[^?#\s]*$(?!\n)"),
]
#: The provider's own text for a template of ours, named `template/language` or `template`.
TemplateName = Annotated[str, Meta(pattern=r"^[a-z_]+(/[A-Za-z-]+)?$(?!\n)")]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each provider may be told. `rate_per_s` is how many messages a second one process sends
    through it; 0 is no limit.
    """

    rate_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    timeout_s: Annotated[float, Meta(gt=0, le=30)] = 15.0

    def __repr__(self) -> str:
        """Without values: most are secrets."""
        return f"{type(self).__module__}.Config(…)"


class Around(NamedTuple):
    """What providers are given beside their section. `webhooks_url` is where they report what
    became of messages, without a slash at its end; empty when they cannot reach us.
    """

    sender: Mailbox
    now_s: Callable[[], int]
    entropy: Callable[[int], bytes]
    webhooks_url: str = ""


Answer: TypeAlias = HttpResponse | Deferred | Unknown


async def ask(send: Send, request: HttpRequest, begin: Begin) -> Answer:
    """The provider's answer, or what it means that there is none."""
    await begin()
    name = request.purpose
    try:
        return await send(request)
    except OutboundRefused:
        return Deferred(f"{name} is where requests may not go")
    except OutboundFailed as error:
        return Deferred(f"{name} cannot be reached: {error}")
    except OutboundUnknown as error:
        return Unknown(f"{name} did not answer: {error}")


def verdict(name: str, response: HttpResponse, now_s: int, code: str = "") -> Outcome:
    """What an answer means that is no yes; `code` is the provider's word for it."""
    status, why = response.status, reason(name, response, code)
    if status in LATER:
        return Deferred(why, retry_after_s(response, now_s))
    if status in OURS or 300 <= status < 400:
        return Deferred(why)
    if 400 <= status < 500:
        return Refused(why)
    return Unknown(why)


def reason(name: str, response: HttpResponse, code: str = "") -> str:
    """What is written down about an answer: only its status and its code."""
    return f"{name} answered {response.status} {quoted(code)}".rstrip()


def retry_after_s(response: HttpResponse, now_s: int) -> float:
    """The seconds that the answer asks us to wait (RFC 9110 §10.2.3), 0 when it does not."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), PATIENCE_S_MAX)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    seconds = (until.replace(tzinfo=until.tzinfo or dt.UTC)).timestamp() - now_s
    return min(max(seconds, 0.0), PATIENCE_S_MAX)


def quoted(code: object) -> str:
    """A code of theirs, if it is one."""
    text = str(code)
    return text if _CODE.fullmatch(text) else ""


def read(response: HttpResponse, kind: type[T]) -> T | None:
    """The answer's JSON as `kind`, None when it is another thing or cut off."""
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def template_of(found: Mapping[str, T], message: Message) -> T | None:
    """The provider's own text for the message, the one in its language first."""
    named = found.get(f"{message.template}/{message.language}")
    return named if named is not None else found.get(message.template)


def ordered(message: Message, names: tuple[str, ...]) -> dict[str, str]:
    """The values that a template numbers from 1, by number."""
    return {
        str(number): str(message.variables.get(name, "")) for number, name in enumerate(names, 1)
    }


def json_request(
    url: str, body: Any, *, purpose: str, headers: Mapping[str, str], timeout_s: float
) -> HttpRequest:
    """A POST of JSON that wants JSON back."""
    return HttpRequest(
        method="POST",
        url=url,
        purpose=purpose,
        headers={"Accept": "application/json", "Content-Type": "application/json", **headers},
        body=msgspec.json.encode(body),
        timeout_s=timeout_s,
    )


def form_request(
    url: str,
    values: Mapping[str, str],
    *,
    purpose: str,
    headers: Mapping[str, str],
    timeout_s: float,
) -> HttpRequest:
    """A POST of a form that wants JSON back."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return HttpRequest(
        method="POST",
        url=url,
        purpose=purpose,
        headers={"Accept": "application/json", **form, **headers},
        body=urlencode(values).encode(),
        timeout_s=timeout_s,
    )
