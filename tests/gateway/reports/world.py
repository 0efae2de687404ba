"""A member, messages to it, and providers that report on them."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from core.templates import Channel
from db import notifications
from tests.gateway.conftest import RING, Answer, Client, Db, encode
from tests.providers.notifications.pushers import ec_key, rsa_key
from tests.providers.notifications.server import Server

PUBLIC = "https://gate.example.test"
TOPIC_ARN = "arn:aws:sns:eu-central-1:123456789012:stampgate"
MAIL, NUMBER = "asha@example.com", "+4915112345678"
AUTH_TOKEN = "12345"
PATH_SECRET = "a-secret-of-the-path"


def certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


class Sns(Server):
    """Where SNS has its certificates, and where subscriptions are confirmed."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/key.pem", self.pem), web.get("/confirm", self.confirm)]

    async def pem(self, _: web.Request) -> web.Response:
        return web.Response(body=certificate(rsa_key(0)))

    async def confirm(self, request: web.Request) -> web.Response:
        self.taken.append(request.query["Token"])
        return web.Response(text="<ConfirmSubscriptionResponse/>")

    def signed(self, key: int = 0, **changes: Any) -> dict[str, Any]:
        """A message of SNS, signed as its documentation describes."""
        envelope = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC_ARN,
            "Message": "{}",
            "Timestamp": "2026-11-24T00:00:00.000Z",
            "SignatureVersion": "2",
            "SigningCertURL": f"{self.url}/key.pem",
            **changes,
        }
        names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token"]
        if envelope["Type"] == "Notification":
            names = ["Message", "MessageId", "Subject", "Timestamp"]
        text = "".join(
            f"{name}\n{envelope[name]}\n"
            for name in [*names, "TopicArn", "Type"]
            if name in envelope
        )
        algorithm = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()
        signature = rsa_key(key).sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {**envelope, "Signature": base64.b64encode(signature).decode()}


class World(NamedTuple):
    """A member with a mail address and a number, and a message to each."""

    client: Client
    db: Db
    sns: Sns
    program_id: str
    member_id: str
    mail_id: str
    text_id: str

    async def stored(self, notification_id: str) -> dict[str, Any]:
        row = await self.db.fetchrow("SELECT * FROM notification WHERE id = $1", notification_id)
        assert row is not None
        return dict(row)

    async def delivery(self, notification_id: str) -> str | None:
        found: str | None = (await self.stored(notification_id))["delivery"]
        return found

    async def unreachable(self) -> set[str]:
        rows = await self.db.fetch(
            "SELECT channel FROM member_contact WHERE unreachable_at IS NOT NULL"
        )
        return {row["channel"] for row in rows}

    async def unwanted(self) -> set[tuple[str, str, str]]:
        rows = await self.db.fetch(
            "SELECT topic, channel, said_by FROM notification_preference WHERE NOT is_wanted"
        )
        return {(row["topic"], row["channel"], row["said_by"]) for row in rows}

    async def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return await self.client.call("POST", path, body, Authorization=None, **headers)


async def a_message(
    db: Db,
    program_id: str,
    member_id: str,
    channel: Channel,
    address: str,
    provider: str,
    reference: str,
) -> str:
    """A message that a provider has taken."""
    new = notifications.New(
        program_id=program_id,
        recipient_kind="member",
        recipient_id=member_id,
        channel=channel,
        address=address,
        template="password_changed",
        language="en",
        variables={},
        dedupe_key=f"{provider}:{reference}",
    )
    added = await notifications.add(db, RING, new)
    assert added is not None
    await db.execute(
        "UPDATE notification SET state = 'sent', provider = $2, provider_reference = $3"
        " WHERE id = $1",
        added,
        provider,
        reference,
    )
    return added


def sendgrid(events: object, key: int = 5) -> tuple[bytes, dict[str, str]]:
    """A request of SendGrid's."""
    body = encode(events) + b"\r\n"
    signature = ec_key(key).sign(b"1600112502" + body, ec.ECDSA(hashes.SHA256()))
    return body, {
        "X_Twilio_Email_Event_Webhook_Signature": base64.b64encode(signature).decode(),
        "X_Twilio_Email_Event_Webhook_Timestamp": "1600112502",
    }


def twilio(
    path: str, fields: dict[str, str], token: str = AUTH_TOKEN
) -> tuple[bytes, dict[str, str]]:
    """A request of Twilio's."""
    text = f"{PUBLIC}{path}" + "".join(name + fields[name] for name in sorted(fields))
    digest = hmac.digest(token.encode(), text.encode(), "sha1")
    return urlencode(fields).encode(), {
        "X_Twilio_Signature": base64.b64encode(digest).decode(),
        "Content_Type": "application/x-www-form-urlencoded",
    }


def event(world: World, kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "email": MAIL,
        "event": kind,
        "notification_id": world.mail_id,
        "sg_event_id": f"e-{kind}",
        "timestamp": 1_600_112_492,
        **changes,
    }


async def by_sendgrid(world: World, *events: object, key: int = 5) -> Answer:
    body, headers = sendgrid(list(events), key)
    return await world.post("/webhooks/sendgrid", body, **headers)


async def by_twilio(world: World, status: str, code: str = "", token: str = AUTH_TOKEN) -> Answer:
    path = f"/webhooks/twilio?notification={world.text_id}"
    fields = {"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": code, "New": "x"}
    body, headers = twilio(path, fields, token)
    return await world.post(path, body, **headers)


async def by_ses(world: World, message: object, **changes: Any) -> Answer:
    text = message if isinstance(message, str) else json.dumps(message)
    return await world.post("/webhooks/ses", encode(world.sns.signed(Message=text, **changes)))


def ses_event(notification_id: str, kind: str, **more: Any) -> dict[str, Any]:
    mail = {"messageId": "0100", "tags": {"notification": [notification_id]}}
    return {"eventType": kind, "mail": mail, **more}


async def everything(world: World) -> tuple[object, ...]:
    rows = [dict(row) for row in await world.db.fetch("SELECT * FROM notification ORDER BY id")]
    return rows, await world.unreachable(), await world.unwanted()


async def forged(world: World, answer: Answer, before: object) -> None:
    assert (answer.status, answer.code) == (403, "report_forged")
    assert await everything(world) == before
