"""Cashfree Payouts, version 2024-01-01: transfers by our id, once each; signed events."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.providers.payouts.server import Fault, Kept, Server, check

CLIENT = ("CF10001", "cfsk_ma_test_a-secret/of+theirs")
PREVIOUS = "cfsk_ma_test_the-one-before"
STATUSES = {
    "under_way": "RECEIVED",
    "paid": "SUCCESS",
    "failed": "FAILED",
    "reversed": "REVERSED",
}
# RSA with OAEP, SHA-1 and MGF1, as their samples have it.
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
FRESH_S = 300
MODES = {"banktransfer", "imps", "neft", "rtgs", "upi"}


class _Details(msgspec.Struct):
    beneficiary_name: str
    beneficiary_instrument_details: dict[str, str]


class _Transfer(msgspec.Struct):
    transfer_id: str
    transfer_amount: Decimal
    transfer_currency: str
    transfer_mode: str
    beneficiary_details: _Details
    transfer_remarks: str = ""


def error(code: str, text: str) -> dict[str, str]:
    return {"type": "invalid_request_error", "code": code, "message": text}


EXISTS = error("transfer_id_already_exists", "Transfer exists already")


class Cashfree(Server):
    slug = "cashfree-payouts"
    #: With it, calls have to show that they were made lately by who has the public one.
    private_key: rsa.RSAPrivateKey | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/payout/transfers", self.pay),
            web.get("/payout/transfers", self.look),
        ]

    def config(self) -> dict[str, Any]:
        return {
            "client_id": CLIENT[0],
            "client_secret": CLIENT[1],
            "previous_secrets": [PREVIOUS],
            "remarks": "Cashback",
            "base": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "client_secret": "another"}

    def no(self, text: str) -> Fault:
        return Fault(422, msgspec.json.encode(error("beneficiary_blocked", text)))

    def used(self) -> Fault:
        return Fault(409, msgspec.json.encode(EXISTS))

    def wire(self, one: Kept) -> dict[str, Any]:
        whole, part = divmod(one.amount_minor, 100)
        return {
            "transfer_id": one.id,
            "cf_transfer_id": one.theirs,
            "status": STATUSES.get(one.state, one.state),
            "status_code": STATUSES.get(one.state, one.state),
            "status_description": one.reason,
            "transfer_amount": msgspec.Raw(f"{whole}.{part:02}".encode()),
            "transfer_mode": "BANK",
            "fundsource_id": "CASHFREE_1",
            "added_on": "2021-11-24T13:39:25Z",
            "updated_on": "2021-11-24T13:40:27Z",
            **({"transfer_utr": one.utr} if one.utr else {}),
        }

    def listed(self, found: list[Kept]) -> bytes:
        return msgspec.json.encode(self.wire(found[0]))

    def call(self, one: Kept, number: int, secret: str = "") -> tuple[dict[str, str], bytes]:
        kind = f"TRANSFER_{STATUSES.get(one.state, one.state)}"
        event = {
            "data": self.wire(one),
            "event_time": f"2024-07-25T17:43:{number:02}",
            "type": kind,
        }
        body = msgspec.json.encode(event)
        moment = str(int(time.time() * 1000))
        key = (secret or CLIENT[1]).encode()
        made = hmac.new(key, moment.encode() + body, hashlib.sha256).digest()
        headers = {
            "x-webhook-timestamp": moment,
            "x-webhook-signature": base64.b64encode(made).decode(),
            "x-webhook-version": "2024-01-01",
        }
        return {"Content-Type": "application/json", **headers}, body

    def check_client(self, request: web.Request) -> None:
        given = tuple(request.headers.get(f"x-client-{name}") for name in ("id", "secret"))
        is_good = given == CLIENT and request.headers.get("x-api-version") == "2024-01-01"
        is_good = is_good and (self.private_key is None or self.is_fresh(request, self.private_key))
        said = {**error("authentication_failed", "no"), "type": "authentication_error"}
        check(is_good=is_good, status=401, body=said)

    def is_fresh(self, request: web.Request, key: rsa.RSAPrivateKey) -> bool:
        try:
            given = base64.b64decode(request.headers.get("x-cf-signature", ""), validate=True)
            client, _, moment = key.decrypt(given, OAEP).decode().partition(".")
        except ValueError:
            return False
        return client == CLIENT[0] and abs(int(moment) - time.time()) < FRESH_S

    async def take(self, request: web.Request) -> dict[str, Any]:
        self.check_client(request)
        asked = await request.read()
        given = msgspec.json.decode(asked, type=_Transfer)
        check(is_good=given.transfer_id not in self.kept, status=409, body=EXISTS)
        return self.wire(self.keep(self.read(given, asked)))

    def read(self, given: _Transfer, asked: bytes) -> Kept:
        """The transfer that the body asks for, if every field is as it has to be."""
        details, amount = given.beneficiary_details, given.transfer_amount
        account = details.beneficiary_instrument_details
        is_upi = given.transfer_mode == "upi"
        wanted = {"vpa"} if is_upi else {"bank_account_number", "bank_ifsc"}
        good = {
            "transfer_id": re.fullmatch(r"[A-Za-z0-9_]{1,40}", given.transfer_id) is not None,
            "transfer_amount": amount >= 1 and amount == round(amount, 2),
            "transfer_currency": given.transfer_currency == "INR",
            "transfer_mode": given.transfer_mode in MODES
            and (given.transfer_mode in {"upi", "neft"} or amount <= 500_000),
            "beneficiary_name": re.fullmatch(r"[A-Za-z ]{1,100}", details.beneficiary_name)
            is not None,
            "beneficiary_instrument_details": account.keys() == wanted,
            "transfer_remarks": re.fullmatch(r"[A-Za-z0-9 ]{0,70}", given.transfer_remarks)
            is not None,
        }
        for field, is_good in good.items():
            said = error(f"{field}_invalid", f"{field} : is invalid")
            check(is_good=is_good, status=400, body=said)
        return Kept(
            id=given.transfer_id,
            theirs=str(1_000_000 + len(self.kept)),
            amount_minor=int(amount * 100),
            account=account,
            name=details.beneficiary_name,
            mode=given.transfer_mode,
            asked=asked,
        )

    async def find(self, request: web.Request) -> web.StreamResponse:
        self.check_client(request)
        one = self.kept.get(request.query.get("transfer_id", ""))
        if one is None:
            said = error("transfer_not_found", "transfer_id does not exist")
            return web.json_response(said, status=404)
        return web.Response(body=self.listed([one]), content_type="application/json")
