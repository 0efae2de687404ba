"""Signing in with a provider: the words and steps that all of them share.

The authorization code flow of OAuth 2 (RFC 6749 §4.1) with PKCE (RFC 7636, S256 only). A provider
does no I/O: it says where the browser goes, and asks the provider's servers through a `Send`.

Three endings. Proven: the provider named the person. `ProviderRefused`: it said no, and asking
again is of no use. `ProviderUnavailable`: no answer that could be understood, or one that says that
our registration with the provider is wrong; the person may begin again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from core.errors import ProviderRefused, ProviderUnavailable
from core.http import HttpRequest, HttpResponse, OutboundError, Send

T = TypeVar("T")

#: Enough for a state, a nonce and a verifier: 256 bits, 43 characters.
SECRET_BYTES: Final = 32
#: A person waits for it.
TIMEOUT_S: Final = 10.0
SUBJECT_MAX: Final = 255

Challenge = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$(?!\n)")]
Verifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{43,128}$(?!\n)")]
Given = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[!-~]+$(?!\n)")]
Token = Annotated[str, Meta(min_length=1, max_length=8192)]
Scopes = Annotated[tuple[Given, ...], Meta(min_length=1, max_length=32)]
# Plain http only to this machine, where tests have their servers.
Endpoint = Annotated[
    str,
    Meta(pattern=r"^(https://[^/?#\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)/[^?#\s]*$(?!\n)"),
]


class Ask(NamedTuple):
    """What goes to the provider with the browser."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str


class Reply(NamedTuple):
    """What came back with the browser, and what was kept of the asking."""

    code: str
    redirect_uri: str
    verifier: str
    nonce: str
    now_s: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the provider named. Only `subject` is one person for ever; mail and name change."""

    subject: str
    mail: str | None = None
    is_mail_verified: bool = False
    name: str | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's tokens; without a new refresh token the old one stays good."""

    access_token: str
    expires_in_s: int
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return "Tokens(…)"


class Proven(NamedTuple):
    """Who it is, and the tokens that came with the proof."""

    profile: Profile
    tokens: Tokens


class SocialProvider(Protocol):
    """A provider to sign in with."""

    @property
    def slug(self) -> str:
        """Its name in paths, settings and rows."""
        ...

    def authorize_url(self, ask: Ask) -> str:
        """Where the browser goes to sign in."""
        ...

    async def prove(self, send: Send, reply: Reply) -> Proven:
        """Whom the code stands for; ProviderRefused, ProviderUnavailable."""
        ...

    async def refresh(self, send: Send, refresh_token: str) -> Tokens:
        """New tokens; ProviderRefused when the old token is good no more, ProviderUnavailable."""
        ...


class TokenAnswer(msgspec.Struct, frozen=True):
    """RFC 6749 §5.1; `id_token` is OpenID Connect's."""

    access_token: Token
    expires_in: Annotated[int, Meta(ge=0)] = 3600
    refresh_token: Token | None = None
    id_token: Annotated[str, Meta(max_length=16_384)] = ""

    def tokens(self) -> Tokens:
        """The tokens of the answer."""
        return Tokens(
            access_token=self.access_token,
            expires_in_s=self.expires_in,
            refresh_token=self.refresh_token,
        )


class _ErrorAnswer(msgspec.Struct, frozen=True):
    """RFC 6749 §5.2."""

    error: str


def secret(entropy: bytes) -> str:
    """A state, nonce or code verifier: SECRET_BYTES random bytes in base64url, 43 characters."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"expected {SECRET_BYTES} bytes of entropy, got {len(entropy)}")
    return _base64url(entropy)


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636 §4.2)."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def is_answered(verifier: str, asked: str) -> bool:
    """Whether the verifier is the one that the challenge was made of, in constant time."""
    return hmac.compare_digest(challenge(verifier).encode(), asked.encode())


def with_query(url: str, values: Mapping[str, str]) -> str:
    """The URL with these query parameters after its own."""
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}{urlencode(values)}"


def form(
    url: str, values: Mapping[str, str], *, purpose: str, headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """A POST of a form that wants JSON back."""
    return HttpRequest(
        method="POST",
        url=url,
        purpose=purpose,
        headers={
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        },
        body=urlencode(values).encode(),
        timeout_s=TIMEOUT_S,
    )


async def answer(send: Send, request: HttpRequest) -> HttpResponse:
    """The provider's answer, whatever its status; ProviderUnavailable when there is none."""
    try:
        return await send(request)
    except OutboundError as error:
        raise ProviderUnavailable from error


async def token_answer(send: Send, request: HttpRequest) -> TokenAnswer:
    """The tokens that a token endpoint gives out (RFC 6749 §5).

    `invalid_grant` is a ProviderRefused: the code or the refresh token is not good, or no longer.
    Every other error is about us (client, secret, registration) and must not pass for a no.
    """
    response = await answer(send, request)
    if response.status == 200:
        return read(response, TokenAnswer)
    if response.status in {400, 401} and read(response, _ErrorAnswer).error == "invalid_grant":
        raise ProviderRefused
    raise ProviderUnavailable


def read(response: HttpResponse, kind: type[T]) -> T:
    """The answer's JSON as `kind`, or ProviderUnavailable: cut off, or another thing altogether."""
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderUnavailable from None


def checked(profile: Profile) -> Profile:
    """The profile, with what does not fit left out; ProviderUnavailable without a subject."""
    subject, mail, name = profile.subject, profile.mail, profile.name
    if not subject or len(subject) > SUBJECT_MAX or not subject.isprintable():
        raise ProviderUnavailable
    if mail is None or len(mail) > 254 or mail.count("@") != 1 or not mail.isprintable():
        mail = None
    if name is not None:
        name = "".join(filter(str.isprintable, name)).strip()[:200] or None
    return Profile(
        subject=subject,
        mail=mail,
        is_mail_verified=profile.is_mail_verified and mail is not None,
        name=name,
    )


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
