"""RazorpayX as its pages describe it: composite payouts, idempotency keys, signed events."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from typing import Any

import msgspec
from aiohttp import web

from tests.providers.payouts.server import Fault, Kept, Server, check

KEY = ("rzp_test_stampgate", "a-secret-of-the/api")
ACCOUNT = "7878780080316316"
WEBHOOK_SECRETS = ["a-secret-of-webhooks", "the-one-before"]
STATUSES = {
    "under_way": "processing",
    "paid": "processed",
    "failed": "failed",
    "reversed": "reversed",
}
EVENTS = {**STATUSES, "under_way": "initiated"}
NAME = re.compile(r"[A-Za-z0-9 ’_/().-]{3,50}")
DIFFERENT = "Different request with the same idempotency key has already been processed."


def error(text: str, field: str | None = None) -> dict[str, Any]:
    return {
        "error": {
            "code": "BAD_REQUEST_ERROR",
            "description": text,
            "source": "business",
            "step": None,
            "reason": "input_validation_failed",
            "metadata": {},
            "field": field,
        }
    }


class RazorpayX(Server):
    slug = "razorpayx"
    #: The pages know both for keys that are wrong.
    keys_status = 401

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/payouts", self.pay),
            web.get("/v1/payouts", self.look),
            web.get("/v1/payouts/{id}", self.look),
        ]

    def config(self) -> dict[str, Any]:
        return {
            "key_id": KEY[0],
            "key_secret": KEY[1],
            "account_number": ACCOUNT,
            "webhook_secrets": WEBHOOK_SECRETS,
            "narration": "Cashback",
            "base": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "key_secret": "another"}

    def no(self, text: str) -> Fault:
        return Fault(400, msgspec.json.encode(error(text)))

    def used(self) -> Fault:
        return Fault(400, msgspec.json.encode(error(DIFFERENT)))

    def wire(self, one: Kept) -> dict[str, Any]:
        details = {"description": one.reason, "source": "beneficiary_bank", "reason": "closed"}
        return {
            "id": one.theirs,
            "entity": "payout",
            "fund_account_id": f"fa_{one.theirs[5:]}",
            "amount": one.amount_minor,
            "currency": "INR",
            "notes": [],
            "fees": 0,
            "tax": 0,
            "status": STATUSES.get(one.state, one.state),
            "utr": one.utr or None,
            "mode": one.mode,
            "purpose": "cashback",
            "reference_id": one.id,
            "narration": "Cashback",
            "batch_id": None,
            "status_details": details if one.reason else None,
            "created_at": 1_592_929_017,
        }

    def listed(self, found: list[Kept]) -> bytes:
        items = [self.wire(one) for one in found]
        return msgspec.json.encode({"entity": "collection", "count": len(items), "items": items})

    def call(self, one: Kept, number: int, secret: str = "") -> tuple[dict[str, str], bytes]:
        event = {
            "entity": "event",
            "account_id": "acc_stampgate",
            "event": f"payout.{EVENTS.get(one.state, one.state)}",
            "contains": ["payout"],
            "payload": {"payout": {"entity": self.wire(one)}},
            "created_at": int(time.time()),
        }
        body = msgspec.json.encode(event)
        key = (secret or WEBHOOK_SECRETS[0]).encode()
        signature = hmac.new(key, body, hashlib.sha256).hexdigest()
        headers = {"X-Razorpay-Signature": signature, "x-razorpay-event-id": f"evt_{number}"}
        return {"Content-Type": "application/json", **headers}, body

    def check_keys(self, request: web.Request) -> None:
        wanted = f"Basic {base64.b64encode(':'.join(KEY).encode()).decode()}"
        is_good = request.headers.get("Authorization") == wanted
        check(is_good=is_good, status=self.keys_status, body=error("Authentication failed"))

    async def take(self, request: web.Request) -> dict[str, Any]:
        self.check_keys(request)
        asked = await request.read()
        key = request.headers.get("X-Payout-Idempotency", "")
        missing = error("Idempotency key is missing.", "X-Payout-Idempotency")
        check(is_good=bool(key), status=400, body=missing)
        is_key = re.fullmatch(r"[A-Za-z0-9_ -]{4,36}", key) is not None
        check(is_good=is_key, status=400, body=error("The idempotency key is invalid."))
        if (before := self.kept.get(key)) is not None:
            check(is_good=before.asked == asked, status=400, body=error(DIFFERENT))
            return self.wire(before)
        return self.wire(self.keep(self.read(msgspec.json.decode(asked), key, asked)))

    def read(self, body: dict[str, Any], key: str, asked: bytes) -> Kept:
        """The payout that the body asks for, if every field is as it has to be."""
        account = body["fund_account"]
        kind, name = account["account_type"], account["contact"]["name"]
        amount = body["amount"]
        is_upi = kind == "vpa"
        good = {
            "account_number": body["account_number"] == ACCOUNT,
            "amount": isinstance(amount, int) and amount >= 100,
            "currency": body["currency"] == "INR",
            "mode": body["mode"] == ("UPI" if is_upi else body["mode"])
            and (body["mode"] in {"UPI", "NEFT"} or amount <= 50_000_000),
            "purpose": body["purpose"] in {"cashback", "refund", "payout"},
            "reference_id": body["reference_id"] == key,
            "narration": re.fullmatch(r"[A-Za-z0-9 ]{0,30}", body["narration"]) is not None,
            "name": NAME.fullmatch(name) is not None,
            "queue_if_low_balance": body["queue_if_low_balance"] is True,
        }
        for field, is_good in good.items():
            check(is_good=is_good, status=400, body=error(f"The {field} is invalid.", field))
        return Kept(
            id=key,
            theirs=f"pout_{len(self.kept):014}",
            amount_minor=amount,
            account=dict(account[kind]),
            name=name,
            mode=body["mode"],
            asked=asked,
        )

    async def find(self, request: web.Request) -> web.StreamResponse:
        self.check_keys(request)
        if (theirs := request.match_info.get("id")) is not None:
            for one in self.kept.values():
                if one.theirs == theirs:
                    return web.json_response(self.wire(one))
            return web.json_response(error("The id provided does not exist"), status=400)
        is_known = request.query.get("account_number") == ACCOUNT
        check(is_good=is_known, status=400, body=error("invalid", "account_number"))
        wanted = request.query["reference_id"]
        found = [one for one in self.kept.values() if one.id == wanted]
        return web.Response(body=self.listed(found), content_type="application/json")
