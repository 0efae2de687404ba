"""A local Firebase, with its token endpoint, and the push service of a local browser."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from core import pushing
from core.aes128gcm import Keys
from core.templates import Channel
from tests.providers.notifications.server import Fault, Refusal, Server

TOKEN = "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
AUTH = bytes(range(16))


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@functools.cache
def rsa_key(_number: int) -> rsa.RSAPrivateKey:
    """A signing key; making one takes a while."""
    return rsa.generate_private_key(65_537, 2048)


@functools.cache
def ec_key(_number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Fcm(Server):
    slug = "fcm"
    channel: Channel = "push"
    address = f"fcm:{TOKEN}"
    path = "/v1/projects/tea/messages:send"
    token_path = "/token"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.messages: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.gone: set[str] = set()
        self.expires_in = 3599

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.post(self.token_path, self.give_token)]

    def config(self) -> dict[str, Any]:
        return {
            "project_id": "tea",
            "client_email": "push@tea.iam.gserviceaccount.com",
            "private_key": pem(rsa_key(0)),
            "private_key_id": "kid-0",
            "token_uri": self.url + self.token_path,
            "base_url": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "private_key": pem(rsa_key(1))}

    def yes(self) -> Fault:
        return Fault(200, b'{"name": "projects/tea/messages/0:1"}')

    async def give_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != GRANT:
            raise Refusal(400, {"error": "unsupported_grant_type"})
        try:
            assertion = str(form["assertion"])
            assert jwt.get_unverified_header(assertion)["kid"] == "kid-0"
            claims = jwt.decode(
                assertion,
                rsa_key(0).public_key(),
                algorithms=["RS256"],
                audience=self.url + self.token_path,
                issuer="push@tea.iam.gserviceaccount.com",
                options={"require": ["iss", "aud", "iat", "exp", "scope"], "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            raise Refusal(400, {"error": "invalid_grant"}) from None
        if claims["exp"] > claims["iat"] + 3600 or claims["scope"] != SCOPE:
            raise Refusal(400, {"error": "invalid_scope"})
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens.add(token)
        return web.json_response(
            {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}
        )

    async def take(self, request: web.Request) -> web.Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.tokens:
            raise google_error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")
        message = (await request.json())["message"]
        if message["token"] in self.gone:
            raise google_error(404, "NOT_FOUND", "UNREGISTERED")
        if not all(isinstance(value, str) for value in message["data"].values()):
            raise google_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        self.messages.append(message)
        self.taken.append(message["data"]["notification_id"])
        return web.json_response({"name": f"projects/tea/messages/0:{len(self.taken)}"})


def google_error(status: int, word: str, code: str) -> Refusal:
    details = [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code},
    ]
    error = {"code": status, "message": f"{TOKEN} is not good", "status": word, "details": details}
    return Refusal(status, {"error": error})


class Webpush(Server):
    """A push service and the browser behind it: it reads what it gets with the keys of `key`."""

    slug = "webpush"
    channel: Channel = "push"
    path = "/push/abc"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.key = ec_key(7)
        self.messages: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.is_gone = False
        keys = Keys(base64url(public(self.key)), base64url(AUTH))
        self.host = urlsplit(url).netloc
        self.browser = pushing.Browser(url + self.path, keys)
        self.address = pushing.of_browser(self.browser, (self.host,))

    def config(self) -> dict[str, Any]:
        return {
            "private_key": pem(ec_key(1)),
            "subject": "mailto:ops@tea.test",
            "hosts": [self.host],
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "private_key": pem(ec_key(2))}

    def yes(self) -> Fault:
        return Fault(201, b"", {"Location": f"{self.url}/message/1"})

    async def take(self, request: web.Request) -> web.Response:
        vapid_key = verify_vapid(request.headers.get("Authorization", ""), self.url)
        # A push service knows the key that the subscription was made for.
        if vapid_key != base64url(public(ec_key(1))):
            raise Refusal(403, {"reason": "another key"})
        if self.is_gone:
            raise Refusal(410, {"reason": "gone"})
        if not request.headers.get("TTL", "").isdecimal():
            raise Refusal(400, {"reason": "no TTL"})
        if request.headers.get("Content-Encoding") != "aes128gcm":
            raise Refusal(400, {"reason": "no encoding"})
        body = await request.read()
        if len(body) > 4096:
            raise Refusal(413, {"reason": "too long"})
        said = json.loads(decrypted(body, self.key, AUTH))
        self.headers.append(dict(request.headers))
        self.messages.append(said)
        self.taken.append(said["tag"])
        location = f"{self.url}/message/{len(self.taken)}"
        return web.Response(status=201, headers={"Location": location})


def verify_vapid(header: str, origin: str, now_s: float | None = None) -> str:
    """The key of a VAPID header (RFC 8292 §3) that is good for this push service; Refusal."""
    kind, _, rest = header.partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if kind != "vapid" or parts.keys() != {"t", "k"}:
        raise Refusal(401, {"reason": "no vapid"})
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(parts["k"]))
        claims = jwt.decode(
            parts["t"],
            key,
            algorithms=["ES256"],
            audience=origin,
            options={"require": ["aud", "exp"], "verify_exp": False},
        )
    except (jwt.InvalidTokenError, ValueError):
        raise Refusal(403, {"reason": "bad token"}) from None
    at_s = time.time() if now_s is None else now_s
    if not at_s < claims["exp"] <= at_s + 86_400:
        raise Refusal(403, {"reason": "another time"})
    return parts["k"]


def decrypted(body: bytes, receiver: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """What a browser makes of a push (RFC 8291 §4, RFC 8188 §2)."""
    salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
    sender = body[21 : 21 + length]
    record = body[21 + length :]
    assert 18 <= len(record) <= size, "one record"
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
    shared = receiver.exchange(ec.ECDH(), point)
    info = b"WebPush: info\x00" + public(receiver) + sender
    key = derived(auth, shared, info, 32)
    content_key = derived(salt, key, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = derived(salt, key, b"Content-Encoding: nonce\x00", 12)
    padded = AESGCM(content_key).decrypt(nonce, record, None)
    text, delimiter = padded.rstrip(b"\x00")[:-1], padded.rstrip(b"\x00")[-1]
    assert delimiter == 2, "the last record"
    return text


def derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
