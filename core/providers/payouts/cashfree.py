"""Cashfree Payouts, version 2024-01-01: transfers to a beneficiary that the call itself describes.

Our id is `transfer_id`, which is good once: a second transfer of that id is refused with 409, and
what became of the first is looked up. Amounts are in the major unit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Meta

from core import withdrawals
from core.errors import BadReply, BadSetting, BadSignature
from core.http import HttpRequest, HttpResponse, Send
from core.payout_methods import Upi
from core.providers.notifications import wire
from core.providers.payouts import answers, protocol
from core.providers.payouts.protocol import Event, Found, News, NotFound, Paying, Payout, Sample
from core.providers.protocols import Deferred, Unknown

SLUG: Final = "cashfree-payouts"
API_VERSION: Final = "2024-01-01"
#: Whether repeats are signed anew is not said, so what is refused is only what nobody repeats.
AGE_S_MAX: Final = 3 * 86_400
NAME_MAX: Final = 100

STATES: Final[Mapping[str, withdrawals.News]] = {
    "SUCCESS": "paid",
    "REVERSED": "reversed",
    "FAILED": "failed",
    "REJECTED": "failed",
    "MANUALLY_REJECTED": "failed",
}
SAMPLES: Final[Mapping[withdrawals.News, str]] = {
    "under_way": "PENDING",
    "paid": "SUCCESS",
    "reversed": "REVERSED",
    "failed": "FAILED",
}

# Theirs; there is no secret in it that a weak hash would give away.
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
_DROPPED: Final = re.compile(r"[^A-Za-z ]")
_MOMENT: Final = re.compile(r"[0-9]{10,16}")
_NO_TRANSFER: Final = re.compile(r"transfer.*(not.?found|not.?exist)", re.IGNORECASE)

Remarks = Annotated[str, Meta(max_length=70, pattern=r"^[A-Za-z0-9 ]*$(?!\n)")]


class Config(protocol.Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The client; its secret also signs webhooks, and those before it may still. With the public
    key that Cashfree gives out calls may come from any address."""

    client_id: wire.Given
    client_secret: wire.Given
    previous_secrets: tuple[wire.Given, ...] = ()
    remarks: Remarks = ""
    public_key: Annotated[str, Meta(max_length=4_000)] = ""
    base: wire.Base = "https://api.cashfree.com"


class _Transfer(msgspec.Struct):
    transfer_id: str
    status: str
    cf_transfer_id: str | int | None = None
    transfer_utr: str | None = None
    status_code: str | None = None
    status_description: str | None = None
    transfer_amount: Decimal | None = None
    transfer_currency: str | None = None


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
        self._key = _public_key(config.public_key) if config.public_key else None
        self._headers = {
            "x-client-id": config.client_id,
            "x-client-secret": config.client_secret,
            "x-api-version": API_VERSION,
            "content-type": "application/json",
        }

    async def pay(self, send: Send, payout: Payout) -> Paying:
        """Ask once for a payout."""
        name = answers.fitted(payout.destination.name, _DROPPED, NAME_MAX)
        if (no := answers.impossible(payout, name)) is not None:
            return no
        body = self._body(payout, name)
        request = self._request("POST", "/payout/transfers", payout, body)
        answer = await protocol.ask(send, request)
        if not isinstance(answer, HttpResponse):
            return answer
        if answer.status in {200, 201, 202}:
            return _one(payout, answer)
        said = _refused(payout, answer)
        if isinstance(said, Deferred) or answer.status not in {400, 409, 422}:
            return said
        return answers.confirmed(await self.look_up(send, payout), said)

    async def look_up(self, send: Send, payout: Payout) -> Found:
        """What became of a payout, by our id."""
        path = f"/payout/transfers?{urlencode({'transfer_id': payout.id})}"
        answer = await protocol.ask(send, self._request("GET", path, payout))
        if isinstance(answer, Deferred | Unknown):
            return Unknown(answer.reason)
        refusal = wire.read(answer, _Refusal) if answer.status == 404 else None
        if refusal is not None and _NO_TRANSFER.search(f"{refusal.code} {refusal.message}"):
            return NotFound()
        return _one(payout, answer)

    def event(self, headers: Mapping[str, str], body: bytes, now_s: int) -> Event:
        """What a call says."""
        moment = headers.get("x-webhook-timestamp", "")
        try:
            given = base64.b64decode(headers.get("x-webhook-signature", ""), validate=True)
        except (binascii.Error, ValueError):
            raise BadSignature("the signature is no base64") from None
        secrets = [self._config.client_secret, *self._config.previous_secrets]
        if _MOMENT.fullmatch(moment) is None:
            raise BadSignature("it says no time")
        protocol.check(secrets, moment.encode() + body, given)
        if abs(_seconds(moment) - now_s) > AGE_S_MAX:
            raise BadSignature("it was not signed lately")
        try:
            call = msgspec.json.decode(body, type=_Call)
            about = None
            if call.type.startswith("TRANSFER_"):
                about = msgspec.json.decode(call.data, type=_Transfer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadReply(str(error)) from None
        event_id = hashlib.sha256(body).hexdigest()
        return Event(event_id, None if about is None else _news(about))

    def sample(self, payout: Payout, news: News, event_id: str, now_s: int) -> Sample:
        """The call that would say this of the payout."""
        status, moment = SAMPLES[news.state], str(now_s * 1000)
        transfer = {
            "transfer_id": payout.id,
            "cf_transfer_id": news.reference,
            "status": status,
            "status_description": news.reason,
            "transfer_amount": _rupees(payout.amount_minor),
            "transfer_utr": news.utr,
        }
        call = {"data": transfer, "event_id": event_id, "type": f"TRANSFER_{status}"}
        body = msgspec.json.encode(call)
        key = self._config.client_secret.encode()
        made = hmac.digest(key, moment.encode() + body, hashlib.sha256)
        signature = base64.b64encode(made).decode()
        named = {"x-webhook-timestamp": moment, "x-webhook-signature": signature}
        return Sample({"content-type": "application/json", **named}, body)

    def _body(self, payout: Payout, name: str) -> bytes:
        destination = payout.destination
        if isinstance(destination, Upi):
            mode, instrument = "upi", {"vpa": destination.vpa}
        else:
            number, ifsc = destination.account_number, destination.ifsc
            mode = "imps" if payout.amount_minor <= answers.IMPS_MAX_MINOR else "neft"
            instrument = {"bank_account_number": number, "bank_ifsc": ifsc}
        body: dict[str, Any] = {
            "transfer_id": payout.id,
            "transfer_amount": _rupees(payout.amount_minor),
            "transfer_currency": payout.currency,
            "transfer_mode": mode,
            "beneficiary_details": {
                "beneficiary_name": name,
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
            headers={**self._headers, "x-request-id": payout.id, **self._signed(payout.at_s)},
            body=body,
            timeout_s=self._config.timeout_s,
        )

    def _signed(self, at_s: int) -> Mapping[str, str]:
        """What proves that it is our client who calls now; good for some minutes."""
        if self._key is None:
            return {}
        said = f"{self._config.client_id}.{at_s}".encode()
        return {"x-cf-signature": base64.b64encode(self._key.encrypt(said, _OAEP)).decode()}


def _public_key(text: str) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadSetting(f"payouts.{SLUG}: public_key is no RSA key in PEM")
    return key


def _refused(payout: Payout, answer: HttpResponse) -> Paying:
    """A no is final, unless our own account is short of money, or the id was used before."""
    refusal = wire.read(answer, _Refusal) or _Refusal()
    said = f"{refusal.code} {refusal.message}".lower()
    if answer.status not in {400, 422} or not refusal.code:
        return protocol.undecided(SLUG, answer, refusal.code)
    if "balance" in said:
        return Deferred(f"{SLUG}: the account is short of money")
    return answers.refused(payout, refusal.message)


def _one(payout: Payout, answer: HttpResponse) -> News | Unknown:
    found = wire.read(answer, _Transfer) if answer.status in {200, 201, 202} else None
    if found is None:
        return Unknown(wire.reason(SLUG, answer))
    return answers.about(payout, _news(found))


def _news(found: _Transfer) -> News:
    """From a status that is not known nothing follows, as from one that is under way."""
    state, amount = STATES.get(found.status, "under_way"), found.transfer_amount
    return News(
        id=found.transfer_id,
        state=state,
        reference=str(found.cf_transfer_id or ""),
        utr=protocol.plain(found.transfer_utr or ""),
        reason=answers.reason(state, found.status_description or found.status_code or ""),
        amount_minor=None if amount is None else amount.scaleb(2),
        currency=found.transfer_currency,
    )


def _rupees(amount_minor: int) -> msgspec.Raw:
    """The amount as a JSON number with two decimals, which no float has touched."""
    whole, part = divmod(amount_minor, 100)
    return msgspec.Raw(f"{whole}.{part:02}".encode())


def _seconds(moment: str) -> int:
    """The header counts milliseconds; seconds are taken as such."""
    number = int(moment)
    return number // 1000 if number > 10**11 else number
