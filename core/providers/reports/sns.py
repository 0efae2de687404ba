"""Amazon SNS, through which SES reports: signed with the key of a certificate that it names.

The certificate's address comes with the message, so it must be one of Amazon's. Anybody with an AWS
account can have SNS sign messages, so the topic must be ours, too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Meta

from core.errors import BadReply, BadSignature

_HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?")
#: What is signed, in this order, as far as it is there.
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]

Text = Annotated[str, Meta(max_length=262_144)]


class Envelope(msgspec.Struct, frozen=True, rename="pascal"):
    """A message of SNS, as far as it is read."""

    type: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
    message_id: Text
    topic_arn: Text
    message: Text
    timestamp: Text
    signature_version: Literal["1", "2"]
    signature: Text
    signing_cert_url: Text = msgspec.field(name="SigningCertURL")
    subject: Text | None = None
    token: Text | None = None
    subscribe_url: Text | None = msgspec.field(name="SubscribeURL", default=None)


def read(body: bytes) -> Envelope:
    """The message of a request, which proves nothing yet; BadReply."""
    try:
        return msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReply("this is no message of SNS") from None


def check_origin(envelope: Envelope, topic_arn: str, hosts: tuple[str, ...] = ()) -> None:
    """BadSignature unless it says that it comes from our topic, with a certificate of Amazon's."""
    if not topic_arn or not hmac.compare_digest(envelope.topic_arn.encode(), topic_arn.encode()):
        raise BadSignature("it is of another topic")
    url = envelope.signing_cert_url
    if not is_amazons(url, hosts) or not urlsplit(url).path.endswith(".pem"):
        raise BadSignature("the certificate is not where Amazon has its own")


def key_of(certificate: bytes) -> rsa.RSAPublicKey:
    """The key of a certificate in PEM; BadReply."""
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise BadReply("this is no certificate") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadReply("the certificate's key is none for RSA")
    return key


def verify(envelope: Envelope, key: rsa.RSAPublicKey) -> None:
    """BadSignature unless the owner of the key signed it."""
    algorithm = hashes.SHA1() if envelope.signature_version == "1" else hashes.SHA256()  # noqa: S303 - version 1 has no other
    try:
        signature = base64.b64decode(envelope.signature, validate=True)
        key.verify(signature, _content(envelope), padding.PKCS1v15(), algorithm)
    except (ValueError, binascii.Error, InvalidSignature):
        raise BadSignature("SNS has not signed this") from None


def is_amazons(url: str, hosts: tuple[str, ...] = ()) -> bool:
    """Whether it leads to SNS, over TLS, and nowhere else; `hosts` are others, for tests."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        return False
    if f"{parts.hostname}:{port}" in hosts:
        return True
    is_plain = parts.scheme == "https" and port in {None, 443}
    return is_plain and _HOST.fullmatch(parts.hostname or "") is not None


def _content(envelope: Envelope) -> bytes:
    values = msgspec.to_builtins(envelope)
    names = [name for name in _SIGNED[envelope.type] if values.get(name) is not None]
    return "".join(f"{name}\n{values[name]}\n" for name in names).encode()
