"""Cashfree Payouts, version 2024-01-01: transfers to a beneficiary that the call itself describes.

Our id is `transfer_id`, which is good once: a second transfer of that id is refused with 409, and
what became of the first is looked up. Amounts are in the major unit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
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

SLUG: Final = "cashfree-payouts"
API_VERSION: Final = "2024-01-01"
#: Whether repeats are signed anew is not said, so what is refused is only what nobody repeats.
AGE_S_MAX: Final = 3 * 86_400

STATES: Final[Mapping[str, withdrawals.News]] = {
    "SUCCESS": "paid",
    "REVERSED": "reversed",
    "FAILED": "failed",
    "REJECTED": "failed",
    "MANUALLY_REJECTED": "failed",
}


class Config(protocol.Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The client; its secret also signs webhooks, and those before it may still."""

    client_id: wire.Given
    client_secret: wire.Given
    previous_secrets: tuple[wire.Given, ...] = ()
    remarks: str = ""
    base: wire.Base = "https://api.cashfree.com"


class _Transfer(msgspec.Struct):
    transfer_id: str
    status: str
    cf_transfer_id: str | int | None = None
    transfer_utr: str | None = None
    status_description: str | None = None


class _Call(msgspec.Struct):
    type: str
    data: msgspec.Raw


class _Refusal(msgspec.Struct):
    message: str = ""
    code: str = ""
    type: str = ""


class Cashfree:
    """The provider."""

    slug: str = SLUG

    def __init__(self, config: Config) -> None:
        self._config = config
        self._headers = {
            "x-client-id": config.client_id,
            "x-client-secret": config.client_secret,
            "x-api-version": API_VERSION,
            "content-type": "application/json",
        }

    async def pay(self, send: Send, payout: Payout) -> Paying:
        """Ask once for a payout."""
        request = self._request("POST", "/payout/transfers", payout, self._body(payout))
        answer = await protocol.ask(send, request)
        if not isinstance(answer, HttpResponse):
            return answer
        if answer.status in {200, 201, 202}:
            found = wire.read(answer, _Transfer)
            return Unknown("cashfree: an answer like none") if found is None else _news(found)
        refusal = wire.read(answer, _Refusal)
        if answer.status in {400, 422} and refusal is not None:
            return _refused(payout, refusal)
        return protocol.undecided(SLUG, answer, 0, refusal.code if refusal else "")

    async def look_up(self, send: Send, payout: Payout) -> Found:
        """What became of a payout, by our id."""
        path = f"/payout/transfers?{urlencode({'transfer_id': payout.id})}"
        answer = await protocol.ask(send, self._request("GET", path, payout))
        if isinstance(answer, Deferred):
            return Unknown(answer.reason)
        if isinstance(answer, Unknown):
            return answer
        if answer.status == 404 and wire.read(answer, _Refusal) is not None:
            return NotFound()
        found = wire.read(answer, _Transfer) if answer.status == 200 else None
        if found is None or found.transfer_id != payout.id:
            return Unknown(wire.reason(SLUG, answer))
        return _news(found)

    def event(self, headers: Mapping[str, str], body: bytes, now_s: int) -> Event:
        """What a call says."""
        moment = headers.get("x-webhook-timestamp", "")
        try:
            given = base64.b64decode(headers.get("x-webhook-signature", ""), validate=True)
        except (binascii.Error, ValueError):
            raise BadSignature("the signature is no base64") from None
        secrets = [self._config.client_secret, *self._config.previous_secrets]
        protocol.check(secrets, moment.encode() + body, given)
        if not moment.isdecimal() or abs(_seconds(moment) - now_s) > AGE_S_MAX:
            raise BadSignature("it was not signed lately")
        try:
            call = msgspec.json.decode(body, type=_Call)
            about = None
            if call.type.startswith("TRANSFER_"):
                about = msgspec.json.decode(call.data, type=_Transfer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadReply(str(error)) from None
        event_id = hashlib.sha256(body).hexdigest()
        return Event(event_id, None if about is None else _news(about))

    def _body(self, payout: Payout) -> bytes:
        destination = payout.destination
        if isinstance(destination, Upi):
            mode, instrument = "upi", {"vpa": destination.vpa}
        else:
            number, ifsc = destination.account_number, destination.ifsc
            mode, instrument = "imps", {"bank_account_number": number, "bank_ifsc": ifsc}
        whole, part = divmod(payout.amount_minor, 100)
        body: dict[str, Any] = {
            "transfer_id": payout.id,
            "transfer_amount": msgspec.Raw(f"{whole}.{part:02}".encode()),
            "transfer_currency": payout.currency,
            "transfer_mode": mode,
            "beneficiary_details": {
                "beneficiary_name": destination.name,
                "beneficiary_instrument_details": instrument,
            },
        }
        if self._config.remarks:
            body["transfer_remarks"] = self._config.remarks
        return msgspec.json.encode(body)

    def _request(self, method: str, path: str, payout: Payout, body: bytes = b"") -> HttpRequest:
        return HttpRequest(
            method=method,
            url=self._config.base + path,
            purpose=SLUG,
            headers={**self._headers, "x-request-id": payout.id},
            body=body,
            timeout_s=self._config.timeout_s,
        )


def _refused(payout: Payout, refusal: _Refusal) -> Paying:
    """Final, unless our own account is short of money, or there is a transfer of this id."""
    said = f"{refusal.code} {refusal.message}".lower()
    if "balance" in said:
        return Deferred("cashfree: the account is short of money")
    if "transfer_id" in said or "already" in said:
        return Unknown("cashfree: there may be a transfer of this id")
    return News(id=payout.id, state="failed", reason=protocol.plain(refusal.message))


def _news(found: _Transfer) -> News:
    return News(
        id=found.transfer_id,
        state=STATES.get(found.status, "under_way"),
        reference=str(found.cf_transfer_id or ""),
        utr=protocol.plain(found.transfer_utr or ""),
        reason=protocol.plain(found.status_description or ""),
    )


def _seconds(moment: str) -> int:
    """The header counts milliseconds; seconds are taken as such."""
    number = int(moment[:16])
    return number // 1000 if number > 10**11 else number
