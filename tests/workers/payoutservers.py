"""RazorpayX and Cashfree Payouts on a real socket: keys, ids and statuses as theirs, and every way
in which an answer can be lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

KEY: Final = ("rzp_test", "razor_secret")
CLIENT: Final = ("cf_client", "cf_secret")
ACCOUNT: Final = "7878780080316316"
WEBHOOK_SECRET: Final = "razor_webhook"
#: How the servers call the states of `core.withdrawals.News`.
WORDS: Final = {
    "razorpayx": {
        "under_way": "processing", "paid": "processed", "failed": "failed", "reversed": "reversed",
    },
    "cashfree-payouts": {
        "under_way": "PENDING", "paid": "SUCCESS", "failed": "FAILED", "reversed": "REVERSED",
    },
}  # fmt: skip


class Asked(NamedTuple):
    """One request to pay: our id in the body, the key in the header, and the body."""

    id: str
    key: str
    body: bytes
    amount_minor: int


class PayoutServer:
    """Both providers' API. `payouts` are those that were really made, by our id; `trouble` is what
    goes wrong with the next requests to pay; `gate` holds answers back after the effect, and
    `door` requests before it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.looked_up = 0
        self.payouts: dict[str, dict[str, Any]] = {}
        self.hashes: dict[str, str] = {}
        self.state = "paid"
        self.trouble: list[str] = []
        self.gate, self.door = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.door.set()

    @property
    def sections(self) -> dict[str, Any]:
        """The part of a providers file that leads here."""
        return {
            "payouts": {
                "razorpayx": {
                    "key_id": KEY[0],
                    "key_secret": KEY[1],
                    "account_number": ACCOUNT,
                    "webhook_secrets": [WEBHOOK_SECRET, "the_one_before"],
                    "base": self.url,
                },
                "cashfree-payouts": {
                    "client_id": CLIENT[0],
                    "client_secret": CLIENT[1],
                    "base": self.url,
                },
            }
        }

    def settle(self, state: str) -> None:
        """All payouts reach this state."""
        self.state = state
        for payout in self.payouts.values():
            payout["state"] = state

    async def pay_razorpayx(self, request: web.Request) -> web.Response:
        _check_basic(request)
        body = await request.read()
        given = msgspec.json.decode(body)
        key = request.headers.get("X-Payout-Idempotency", "")
        if not 4 <= len(key) <= 36:
            return _razor_error(400, "Idempotency key is missing", "X-Payout-Idempotency")
        account = given["fund_account"]
        assert account[account["account_type"]]
        assert given["account_number"] == ACCOUNT
        assert (given["mode"] == "UPI") == (account["account_type"] == "vpa")
        digest = hashlib.sha256(body).hexdigest()
        if self.hashes.get(key, digest) != digest:
            said = "Different request with the same idempotency key has already been processed."
            return _razor_error(400, said, None)
        await self._go_through(request, Asked(given["reference_id"], key, body, given["amount"]))
        self.hashes[key] = digest
        return _json(_razor(self._made(given["reference_id"], given["amount"])))

    async def find_razorpayx(self, request: web.Request) -> web.Response:
        _check_basic(request)
        self.looked_up += 1
        assert request.query["account_number"] == ACCOUNT
        wanted = request.query["reference_id"]
        items = [_razor(one) for one in self.payouts.values() if one["id"] == wanted]
        return _json({"entity": "collection", "count": len(items), "items": items})

    async def get_razorpayx(self, request: web.Request) -> web.Response:
        _check_basic(request)
        self.looked_up += 1
        wanted = request.match_info["id"]
        for one in self.payouts.values():
            if one["theirs"] == wanted:
                return _json(_razor(one))
        return _razor_error(400, "The id provided does not exist", None)

    async def pay_cashfree(self, request: web.Request) -> web.Response:
        _check_client(request)
        body = await request.read()
        given = msgspec.json.decode(body)
        assert b'"transfer_amount":' in body
        details = given["beneficiary_details"]["beneficiary_instrument_details"]
        assert ("vpa" in details) == (given["transfer_mode"] == "upi")
        id_, minor = given["transfer_id"], round(given["transfer_amount"] * 100)
        if id_ in self.payouts:
            self.asked.append(Asked(id_, id_, body, minor))
            said = {"type": "invalid_request_error", "code": "transfer_id_already_exists"}
            return _json({**said, "message": "transfer_id already exists"}, 409)
        await self._go_through(request, Asked(id_, id_, body, minor))
        return _json(_cash(self._made(id_, minor)))

    async def get_cashfree(self, request: web.Request) -> web.Response:
        _check_client(request)
        self.looked_up += 1
        one = self.payouts.get(request.query["transfer_id"])
        if one is None:
            said = {"type": "invalid_request_error", "code": "transfer_id_not_found"}
            return _json({**said, "message": "transfer does not exist"}, 404)
        return _json(_cash(one))

    async def _go_through(self, request: web.Request, asked: Asked) -> None:
        """Note the request, and whatever goes wrong with it before or after its effect."""
        self.asked.append(asked)
        trouble = self.trouble.pop(0) if self.trouble else ""
        await self.door.wait()
        if trouble.isdecimal():
            body = _refusal(int(trouble))
            raise _Refused(int(trouble), body)
        if trouble == "drop_before":
            _drop(request)
        self._made(asked.id, asked.amount_minor)
        if trouble == "drop_after":
            _drop(request)
        if trouble == "500_after":
            raise _Refused(500, _refusal(500))
        if trouble == "garbage_after":
            raise _Refused(200, '{"id": "pout_1", "sta')
        await self.gate.wait()

    def _made(self, id_: str, amount_minor: int) -> dict[str, Any]:
        made = self.payouts.setdefault(
            id_, {"id": id_, "theirs": f"pout_{len(self.payouts)}", "state": self.state}
        )
        made["amount_minor"] = amount_minor
        return made


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text


@web.middleware
async def _refusing(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except _Refused as refused:
        headers = {"Retry-After": "7"} if refused.status == 429 else {}
        return web.Response(
            text=refused.text,
            status=refused.status,
            content_type="application/json",
            headers=headers,
        )
    return answer


def _refusal(status: int) -> str:
    said = f"trouble {status}"
    error = {"code": "BAD_REQUEST_ERROR", "description": said, "field": None}
    body = {"error": error, "message": said, "code": "trouble", "type": "api_error"}
    return msgspec.json.encode(body).decode()


def _drop(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise _Refused(500, "")


def _razor(one: dict[str, Any]) -> dict[str, Any]:
    is_paid = one["state"] in {"paid", "reversed"}
    return {
        "id": one["theirs"],
        "entity": "payout",
        "status": WORDS["razorpayx"][one["state"]],
        "reference_id": one["id"],
        "amount": one["amount_minor"],
        "utr": f"UTR{one['theirs']}" if is_paid else None,
        "status_details": {"reason": "x", "description": "Bank\tis away"},
    }


def _cash(one: dict[str, Any]) -> dict[str, Any]:
    is_paid = one["state"] in {"paid", "reversed"}
    return {
        "transfer_id": one["id"],
        "cf_transfer_id": one["theirs"],
        "status": WORDS["cashfree-payouts"][one["state"]],
        "status_description": "Bank\tis away",
        **({"transfer_utr": f"UTR{one['theirs']}"} if is_paid else {}),
    }


def _check_basic(request: web.Request) -> None:
    wanted = base64.b64encode(":".join(KEY).encode()).decode()
    if request.headers.get("Authorization") != f"Basic {wanted}":
        raise _Refused(401, _refusal(401))


def _check_client(request: web.Request) -> None:
    given = (request.headers.get("x-client-id"), request.headers.get("x-client-secret"))
    if given != CLIENT or request.headers.get("x-api-version") != "2024-01-01":
        raise _Refused(401, _refusal(401))


def _razor_error(status: int, description: str, field: str | None) -> web.Response:
    error = {"code": "BAD_REQUEST_ERROR", "description": description, "field": field}
    return _json({"error": error}, status)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


@contextlib.asynccontextmanager
async def payout_server() -> AsyncIterator[PayoutServer]:
    """A running server."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = PayoutServer(f"http://127.0.0.1:{listening.getsockname()[1]}")
    app = web.Application(middlewares=[_refusing])
    app.router.add_post("/v1/payouts", server.pay_razorpayx)
    app.router.add_get("/v1/payouts", server.find_razorpayx)
    app.router.add_get("/v1/payouts/{id}", server.get_razorpayx)
    app.router.add_post("/payout/transfers", server.pay_cashfree)
    app.router.add_get("/payout/transfers", server.get_cashfree)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield server
    finally:
        server.gate.set()
        server.door.set()
        await runner.cleanup()
