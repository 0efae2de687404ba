"""A local Twilio, a local MSG91 and a local Kaleyra."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from core.templates import Channel
from tests.providers.notifications.server import SECRET, Fault, Refusal, Server, basic

ACCOUNT = "AC" + "0" * 32
NUMBER = "+917012345678"
CONTENT = "HX" + "1" * 32


class Twilio(Server):
    """`dead` are numbers with the error code that each gets."""

    slug = "twilio"
    channel: Channel = "sms"
    address = NUMBER
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.dead: dict[str, int] = {}
        self.forms: list[dict[str, str]] = []

    def config(self) -> dict[str, Any]:
        return {
            "account_sid": ACCOUNT,
            "secret": SECRET,
            "sms_from": "+15005550006",
            "whatsapp_from": "+14155238886",
            "contents": {"sign_in_code/en": {"sid": CONTENT, "variables": ["code", "minutes"]}},
            "base_url": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "secret": "another"}

    def yes(self) -> Fault:
        return Fault(201, json.dumps({"sid": "SM" + "a" * 32, "status": "queued"}).encode())

    async def take(self, request: web.Request) -> web.Response:
        if basic(request) != (ACCOUNT, SECRET):
            raise twilio_error(401, 20003)
        form = {name: str(value) for name, value in (await request.post()).items()}
        number = form.get("To", "").removeprefix("whatsapp:")
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
            raise twilio_error(400, 21211)
        if number in self.dead:
            raise twilio_error(
                429 if self.dead[number] in {20429, 63018} else 400, self.dead[number]
            )
        if ("From" in form) == ("MessagingServiceSid" in form):
            raise twilio_error(400, 21603)
        if ("Body" in form) == ("ContentSid" in form):
            raise twilio_error(400, 21602)
        self.forms.append(form)
        callback = parse_qs(urlsplit(form["StatusCallback"]).query)
        self.taken.append(callback["notification"][0])
        sid = f"SM{len(self.taken):032x}"
        return web.json_response(
            {"sid": sid, "status": "queued", "error_code": None, "to": form["To"]}, status=201
        )


class TwilioWhatsapp(Twilio):
    channel: Channel = "whatsapp"


def twilio_error(status: int, code: int) -> Refusal:
    return Refusal(
        status,
        {"code": code, "message": f"The number {NUMBER} is not good", "status": status},
    )


class Msg91(Server):
    """It says no with 200 and `type: error`."""

    slug = "msg91"
    channel: Channel = "sms"
    address = NUMBER
    path = "/api/v5/flow/"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.bodies: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        flow = {"template_id": "64f0c0ffee", "variables": {"code": "VAR1"}}
        return {
            "authkey": SECRET,
            "flows": {"sign_in_code": flow},
            "sender": "STMPGT",
            "base_url": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "authkey": "another"}

    def yes(self) -> Fault:
        return Fault(200, b'{"type": "success", "message": "3763646c3058373530393938"}')

    async def take(self, request: web.Request) -> web.Response:
        if request.headers.get("authkey") != SECRET:
            raise Refusal(401, {"type": "error", "message": "Authentication failure"})
        body = await request.json()
        [recipient] = body["recipients"]
        if body["template_id"] != "64f0c0ffee" or not recipient["mobiles"].isdecimal():
            return web.json_response({"type": "error", "message": "template or number invalid"})
        self.bodies.append(body)
        # MSG91 takes no id of ours.
        self.taken.append("ntf_1")
        return web.json_response({"type": "success", "message": "3763646c3058373530393938"})


class Kaleyra(Server):
    """Both versions: forms at v1, JSON at v2."""

    slug = "kaleyra"
    channel: Channel = "sms"
    address = NUMBER
    path = "/v1/HXIN0000/messages"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.forms: list[dict[str, str]] = []

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.post("/v2/HXIN0000/messages", self.take)]

    def config(self) -> dict[str, Any]:
        return {
            "sid": "HXIN0000",
            "api_key": SECRET,
            "sms_from": "STMPGT",
            "whatsapp_from": "917000000000",
            "template_ids": {"sign_in_code": "1007"},
            "webhook_secret": "path-secret",
            "base_url": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "api_key": "another"}

    def yes(self) -> Fault:
        return Fault(202, b'{"id": "k1", "error": {}}')

    async def take(self, request: web.Request) -> web.Response:
        if request.headers.get("api-key") != SECRET:
            raise Refusal(401, {"error": "unauthorized", "message": "no"})
        if request.path.startswith("/v2/"):
            form = {name: str(value) for name, value in (await request.json()).items()}
        else:
            assert request.content_type == "application/x-www-form-urlencoded"
            form = {name: str(value) for name, value in (await request.post()).items()}
        if not form["to"].startswith("+") or not form["sender"]:
            raise Refusal(400, {"error": "RBC001", "message": "bad"})
        callback = urlsplit(form["callback_url"])
        assert callback.path.endswith("/kaleyra/path-secret")
        self.forms.append(form)
        self.taken.append(parse_qs(callback.query)["notification"][0])
        return web.json_response({"id": f"k{len(self.taken)}", "error": {}}, status=202)


class KaleyraWhatsapp(Kaleyra):
    channel: Channel = "whatsapp"
