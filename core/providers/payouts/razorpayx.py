"""RazorpayX payouts: one call makes contact, fund account and payout.

Our id is `X-Payout-Idempotency` and `reference_id`. The same key with the same body is answered
with the payout that there is. Webhooks are signed with a secret of their own, and after it was
changed older events come with the one before.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from core import withdrawals
from core.errors import BadReply, BadSignature
from core.http import HttpRequest, HttpResponse, Send
from core.payout_methods import Upi
from core.providers.notifications import wire
from core.providers.payouts import protocol
from core.providers.payouts.protocol import Event, Found, News, NotFound, Paying, Payout
from core.providers.protocols import Deferred, Unknown

SLUG: Final = "razorpayx"
#: Above this IMPS takes nothing; ₹500,000.00.
IMPS_MAX_MINOR: Final = 50_000_000

STATES: Final[Mapping[str, withdrawals.News]] = {
    "processed": "paid",
    "reversed": "reversed",
    "failed": "failed",
    "rejected": "failed",
    "cancelled": "failed",
}


class Config(protocol.Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account that pays, its API key, and the secret of its webhooks with those before it."""

    key_id: wire.Given
    key_secret: wire.Given
    account_number: wire.Given
    webhook_secrets: tuple[wire.Given, ...]
    purpose: str = "cashback"
    narration: str = ""
    base: wire.Base = "https://api.razorpay.com"


class _Status(msgspec.Struct):
    description: str | None = None
    reason: str | None = None


class _Payout(msgspec.Struct):
    id: str
    status: str
    reference_id: str | None = None
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
        body = msgspec.json.encode(self._body(payout))
        key = {"x-payout-idempotency": payout.id}
        answer = await protocol.ask(send, self._request("POST", "/v1/payouts", key, body))
        if not isinstance(answer, HttpResponse):
            return answer
        if answer.status in {200, 201}:
            found = wire.read(answer, _Payout)
            return Unknown("razorpayx: an answer like none") if found is None else _news(found)
        return _refused(payout, answer)

    async def look_up(self, send: Send, payout: Payout) -> Found:
        """What became of a payout: by their id, or by ours."""
        path = f"/v1/payouts/{payout.reference}"
        if not payout.reference:
            asked = {"account_number": self._config.account_number, "reference_id": payout.id}
            path = f"/v1/payouts?{urlencode(asked)}"
        answer = await protocol.ask(send, self._request("GET", path))
        if isinstance(answer, Deferred):
            return Unknown(answer.reason)
        if isinstance(answer, Unknown):
            return answer
        if answer.status != 200:
            return Unknown(wire.reason(SLUG, answer))
        if payout.reference:
            one = wire.read(answer, _Payout)
            return Unknown("razorpayx: an answer like none") if one is None else _news(one)
        listed = wire.read(answer, _List)
        if listed is None:
            return Unknown("razorpayx: an answer like none")
        own = [one for one in listed.items if one.reference_id == payout.id]
        return _news(own[0]) if own else NotFound()

    def event(self, headers: Mapping[str, str], body: bytes, now_s: int) -> Event:  # noqa: ARG002 - a signature is not dated
        """What a call says."""
        try:
            given = bytes.fromhex(headers.get("x-razorpay-signature", ""))
        except ValueError:
            raise BadSignature("the signature is no hexadecimal number") from None
        protocol.check(self._config.webhook_secrets, body, given)
        try:
            call = msgspec.json.decode(body, type=_Call)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadReply(str(error)) from None
        event_id = headers.get("x-razorpay-event-id", "")
        if not event_id:
            raise BadReply("the event has no id")
        about = call.payload.payout
        if about is None or not call.event.startswith("payout."):
            return Event(event_id, None)
        return Event(event_id, _news(about.entity))

    def _body(self, payout: Payout) -> dict[str, Any]:
        destination = payout.destination
        account: dict[str, Any] = {"contact": {"name": destination.name, "type": "customer"}}
        if isinstance(destination, Upi):
            mode = "UPI"
            account |= {"account_type": "vpa", "vpa": {"address": destination.vpa}}
        else:
            mode = "IMPS" if payout.amount_minor <= IMPS_MAX_MINOR else "NEFT"
            account |= {
                "account_type": "bank_account",
                "bank_account": {
                    "name": destination.name,
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
    """A 400 is final, unless it is about the key: then there is a payout of this id."""
    refusal = wire.read(answer, _Refusal)
    error = _Error() if refusal is None else refusal.error
    said = f"{error.description} {error.field or ''}".lower()
    if answer.status == 400 and refusal is not None and "idempotency" not in said:
        return News(id=payout.id, state="failed", reason=protocol.plain(error.description))
    return protocol.undecided(SLUG, answer, 0, error.code)


def _news(found: _Payout) -> News:
    details = found.status_details
    said = (details.description or details.reason or "") if details else ""
    return News(
        id=found.reference_id or "",
        state=STATES.get(found.status, "under_way"),
        reference=found.id,
        utr=protocol.plain(found.utr or ""),
        reason=protocol.plain(said),
    )
