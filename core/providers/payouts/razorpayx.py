"""RazorpayX payouts: one call makes contact, fund account and payout.

Our id is `X-Payout-Idempotency` and `reference_id`. The same key with the same body is answered
with the payout that there is. Webhooks are signed with a secret of their own, and after it was
changed older events come with the one before. They carry the time of the event, not that of the
call, and can be had again for seven days.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from core import withdrawals
from core.errors import BadReply, BadSignature
from core.http import HttpRequest, HttpResponse, Send
from core.payout_methods import Upi
from core.providers.notifications import wire
from core.providers.payouts import answers, protocol
from core.providers.payouts.protocol import Event, Found, News, NotFound, Paying, Payout, Sample
from core.providers.protocols import Deferred, Unknown

SLUG: Final = "razorpayx"
AGE_S_MAX: Final = 8 * 86_400
NAME_MAX: Final = 50

STATES: Final[Mapping[str, withdrawals.News]] = {
    "processed": "paid",
    "reversed": "reversed",
    "failed": "failed",
    "rejected": "failed",
    "cancelled": "failed",
}
# A state, and an event that tells of it.
SAMPLES: Final[Mapping[withdrawals.News, tuple[str, str]]] = {
    "under_way": ("processing", "payout.initiated"),
    "paid": ("processed", "payout.processed"),
    "reversed": ("reversed", "payout.reversed"),
    "failed": ("failed", "payout.failed"),
}

# Everything but these is not taken in a name.
_DROPPED: Final = re.compile(r"[^A-Za-z0-9’_/(). -]")
_EVENT_ID: Final = re.compile(r"[!-~]{1,128}")

Narration = Annotated[str, Meta(max_length=30, pattern=r"^[A-Za-z0-9 ]*$(?!\n)")]


class Config(protocol.Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account that pays, its API key, and the secret of its webhooks with those before it."""

    key_id: wire.Given
    key_secret: wire.Given
    account_number: wire.Given
    webhook_secrets: tuple[wire.Given, ...]
    purpose: str = "cashback"
    narration: Narration = ""
    base: wire.Base = "https://api.razorpay.com"


class _Status(msgspec.Struct):
    description: str | None = None
    reason: str | None = None


class _Payout(msgspec.Struct):
    id: str
    status: str
    reference_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    utr: str | None = None
    status_details: _Status | None = None


class _List(msgspec.Struct):
    items: list[_Payout]


class _Entity(msgspec.Struct):
    entity: _Payout


class _Payload(msgspec.Struct):
    payout: _Entity | None = None


class _Call(msgspec.Struct):
    event: str
    payload: _Payload
    created_at: int | None = None


class _Error(msgspec.Struct):
    code: str = ""
    description: str = ""
    field: str | None = None


class _Refusal(msgspec.Struct):
    error: _Error


class RazorpayX:
    """The provider."""

    slug: str = SLUG

    def __init__(self, config: Config) -> None:
        self._config = config
        pair = f"{config.key_id}:{config.key_secret}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(pair).decode()}",
            "content-type": "application/json",
        }

    async def pay(self, send: Send, payout: Payout) -> Paying:
        """Ask once for a payout."""
        name = answers.fitted(payout.destination.name, _DROPPED, NAME_MAX)
        if (no := answers.impossible(payout, name)) is not None:
            return no
        body = msgspec.json.encode(self._body(payout, name))
        key = {"x-payout-idempotency": payout.id}
        answer = await protocol.ask(send, self._request("POST", "/v1/payouts", key, body))
        if not isinstance(answer, HttpResponse):
            return answer
        if answer.status in {200, 201}:
            return _one(payout, answer)
        said = _refused(payout, answer)
        if isinstance(said, Deferred) or answer.status not in {400, 409}:
            return said
        return answers.confirmed(await self._find(send, payout), said)

    async def look_up(self, send: Send, payout: Payout) -> Found:
        """What became of a payout: by their id, or by ours."""
        if not payout.reference:
            return await self._find(send, payout)
        path = f"/v1/payouts/{quote(payout.reference, safe='')}"
        answer = await protocol.ask(send, self._request("GET", path))
        if isinstance(answer, Deferred | Unknown):
            return Unknown(answer.reason)
        return _one(payout, answer)

    async def _find(self, send: Send, payout: Payout) -> Found:
        asked = {"account_number": self._config.account_number, "reference_id": payout.id}
        request = self._request("GET", f"/v1/payouts?{urlencode(asked)}")
        answer = await protocol.ask(send, request)
        if isinstance(answer, Deferred | Unknown):
            return Unknown(answer.reason)
        listed = wire.read(answer, _List) if answer.status == 200 else None
        if listed is None:
            return Unknown(wire.reason(SLUG, answer))
        own = [one for one in listed.items if one.reference_id == payout.id]
        if len(own) == 1:
            return _about(payout, own[0])
        # A list of others is not what was asked for, and does not say that there is none of ours.
        return Unknown(f"{SLUG} listed other payouts too") if listed.items else NotFound()

    def event(self, headers: Mapping[str, str], body: bytes, now_s: int) -> Event:
        """What a call says."""
        try:
            given = bytes.fromhex(headers.get("x-razorpay-signature", ""))
        except ValueError:
            raise BadSignature("the signature is no hexadecimal number") from None
        protocol.check(self._config.webhook_secrets, body, given)
        try:
            call = msgspec.json.decode(body, type=_Call)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadReply(str(error)) from None
        if call.created_at is not None and abs(now_s - call.created_at) > AGE_S_MAX:
            raise BadSignature("it is about long ago")
        event_id = headers.get("x-razorpay-event-id", "")
        if _EVENT_ID.fullmatch(event_id) is None:
            raise BadReply("the event has no id")
        about = call.payload.payout
        if about is None or not call.event.startswith("payout."):
            return Event(event_id, None)
        return Event(event_id, _news(about.entity))

    def sample(self, payout: Payout, news: News, event_id: str, now_s: int) -> Sample:
        """The call that would say this of the payout."""
        status, event = SAMPLES[news.state]
        entity = {
            "id": news.reference,
            "entity": "payout",
            "amount": payout.amount_minor,
            "currency": payout.currency,
            "status": status,
            "utr": news.utr or None,
            "reference_id": payout.id,
            "status_details": {"description": news.reason} if news.reason else None,
        }
        call = {
            "entity": "event",
            "event": event,
            "contains": ["payout"],
            "payload": {"payout": {"entity": entity}},
            "created_at": now_s,
        }
        body = msgspec.json.encode(call)
        key = self._config.webhook_secrets[0].encode()
        signature = hmac.digest(key, body, hashlib.sha256).hex()
        named = {"x-razorpay-signature": signature, "x-razorpay-event-id": event_id}
        return Sample({"content-type": "application/json", **named}, body)

    def _body(self, payout: Payout, name: str) -> dict[str, Any]:
        destination = payout.destination
        account: dict[str, Any] = {"contact": {"name": name, "type": "customer"}}
        if isinstance(destination, Upi):
            mode = "UPI"
            account |= {"account_type": "vpa", "vpa": {"address": destination.vpa}}
        else:
            mode = "IMPS" if payout.amount_minor <= answers.IMPS_MAX_MINOR else "NEFT"
            account |= {
                "account_type": "bank_account",
                "bank_account": {
                    "name": name,
                    "ifsc": destination.ifsc,
                    "account_number": destination.account_number,
                },
            }
        return {
            "account_number": self._config.account_number,
            "amount": payout.amount_minor,
            "currency": payout.currency,
            "mode": mode,
            "purpose": self._config.purpose,
            "fund_account": account,
            "queue_if_low_balance": True,
            "reference_id": payout.id,
            **({"narration": self._config.narration} if self._config.narration else {}),
        }

    def _request(
        self, method: str, path: str, more: Mapping[str, str] | None = None, body: bytes = b""
    ) -> HttpRequest:
        return HttpRequest(
            method=method,
            url=self._config.base + path,
            purpose=SLUG,
            headers={**self._headers, **(more or {})},
            body=body,
            timeout_s=self._config.timeout_s,
        )


def _refused(payout: Payout, answer: HttpResponse) -> Paying:
    """A 400 is a no, unless it is about our keys, or about the payout's: then there may be one."""
    refusal = wire.read(answer, _Refusal)
    error = _Error() if refusal is None else refusal.error
    said = f"{error.description} {error.field or ''}".lower()
    if "authentication failed" in said:
        return Deferred(wire.reason(SLUG, answer, error.code))
    if answer.status == 400 and error.code and "idempotency" not in said:
        return answers.refused(payout, error.description)
    return protocol.undecided(SLUG, answer, error.code)


def _one(payout: Payout, answer: HttpResponse) -> News | Unknown:
    found = wire.read(answer, _Payout) if answer.status in {200, 201} else None
    return Unknown(wire.reason(SLUG, answer)) if found is None else _about(payout, found)


def _about(payout: Payout, found: _Payout) -> News | Unknown:
    return answers.about(payout, _news(found))


def _news(found: _Payout) -> News:
    """From a status that is not known nothing follows, as from one that is under way."""
    state, details = STATES.get(found.status, "under_way"), found.status_details
    said = (details.description or details.reason or "") if details else ""
    return News(
        id=found.reference_id or "",
        state=state,
        reference=found.id,
        utr=protocol.plain(found.utr or ""),
        reason=answers.reason(state, said),
        amount_minor=found.amount,
        currency=found.currency,
    )
