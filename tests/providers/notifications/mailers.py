"""A local Amazon SES and a local SendGrid."""

from __future__ import annotations

import base64
import email
import json
import re
from email import policy
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.providers.notifications.server import SECRET, Fault, Refusal, Server

ACCESS_KEY = "AKIDEXAMPLE"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Z]+)/(\d{8})/([a-z0-9-]+)/ses/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


class Ses(Server):
    """Signatures are compared with those that botocore makes of what arrived."""

    slug = "ses"
    path = "/v2/email/outbound-emails"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.mails: list[Any] = []
        self.bodies: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        return {
            "region": "eu-central-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET,
            "configuration_set": "stampgate",
            "base_url": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "secret_access_key": "another"}

    def yes(self) -> Fault:
        return Fault(200, b'{"MessageId": "010001"}')

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._check_signature(request, body)
        wanted = json.loads(body)
        raw = base64.b64decode(wanted["Content"]["Raw"]["Data"], validate=True)
        message = email.message_from_bytes(raw, policy=policy.default)
        if message["To"] != wanted["Destination"]["ToAddresses"][0]:
            raise problem(400, "BadRequestException")
        tags = {tag["Name"]: tag["Value"] for tag in wanted["EmailTags"]}
        self.taken.append(tags["notification"])
        self.mails.append(message)
        self.bodies.append(wanted)
        return web.json_response({"MessageId": f"0100{len(self.taken):04}"})

    def _check_signature(self, request: web.Request, body: bytes) -> None:
        match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if match is None:
            raise problem(403, "MissingAuthenticationTokenException")
        key_id, day, region, names, signature = match.groups()
        at = request.headers["X-Amz-Date"]
        if key_id != ACCESS_KEY or not at.startswith(day):
            raise problem(403, "UnrecognizedClientException")
        signed = AWSRequest(
            request.method,
            self.url + request.path,
            data=body,
            headers={name: request.headers[name] for name in names.split(";") if name != "host"},
        )
        signed.headers["Host"] = urlsplit(self.url).netloc
        signed.context["timestamp"] = at
        auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET), "ses", region)
        to_sign = auth.string_to_sign(signed, auth.canonical_request(signed))
        if auth.signature(to_sign, signed) != signature:
            raise problem(403, "SignatureDoesNotMatch")


def problem(status: int, code: str) -> Refusal:
    """The error as the REST protocol of AWS has it."""
    headers = {"x-amzn-ErrorType": f"{code}:http://internal.amazon.com/coral/"}
    return Refusal(status, {"message": "asha@example.test is not for you"}, headers)


class Sendgrid(Server):
    slug = "sendgrid"
    path = "/v3/mail/send"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.bodies: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        return {"api_key": f"SG.{SECRET}", "base_url": self.url}

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "api_key": "SG.another"}

    def yes(self) -> Fault:
        return Fault(202, b"", {"X-Message-Id": "m1"})

    async def take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer SG.{SECRET}":
            raise errors(401, None)
        body = await request.json()
        [person] = body["personalizations"]
        if "@" not in person["to"][0]["email"]:
            raise errors(400, "personalizations.0.to.0.email")
        if not body["from"]["email"] or not body["subject"] or not body["content"]:
            raise errors(400, "subject")
        types = [part["type"] for part in body["content"]]
        if types != sorted(types, key=["text/plain", "text/html"].index):
            raise errors(400, "content")
        if body.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return web.Response(status=200)
        self.taken.append(body["custom_args"]["notification_id"])
        self.bodies.append(body)
        return web.Response(status=202, headers={"X-Message-Id": f"m{len(self.taken)}"})


def errors(status: int, field: str | None) -> Refusal:
    """SendGrid's errors."""
    return Refusal(
        status, {"errors": [{"message": "asha@example.test", "field": field, "help": None}]}
    )
