"""ID tokens of OpenID Connect providers, and the keys that prove them.

RS256 and nothing else: the key is found by the exact `kid` among those that the provider publishes,
and what the header says of itself is only ever compared. Core 1.0 §3.1.3.7 lists what is checked.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import Annotated, Final, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from core.errors import ProviderRefused, ProviderUnavailable
from core.http import HttpRequest, Send
from core.providers.social import flow

RSA_BITS: Final = range(2048, 8193)
KEYS_MAX: Final = 32
# How long published keys are taken as they are: what the provider says, within bounds.
FRESH_S_DEFAULT: Final = 300
FRESH_S_MIN: Final = 60
FRESH_S_MAX: Final = 86_400
# Keys that we do not know are looked for no more often than this.
LOOK_AGAIN_S: Final = 30
LEEWAY_S: Final = 60
#: An ID token is used at once; one that is older is a replay, whatever it says of its expiry.
AGE_S_MAX: Final = 600

_jws: Final = jwt.PyJWS(algorithms=["RS256"])
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?=$|[\s,])", re.IGNORECASE)


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    kid: str = ""
    use: str = "sig"
    alg: str = "RS256"
    n: str = ""
    e: str = ""


class _Jwks(msgspec.Struct, frozen=True):
    keys: Annotated[list[_Jwk], msgspec.Meta(max_length=KEYS_MAX)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields that name or carry a key (jku, jwk, x5u, x5c) or change the rules (crit, b64) fail."""

    alg: Literal["RS256"]
    kid: str
    typ: Literal["JWT"] = "JWT"


class Claims(msgspec.Struct, frozen=True):
    """What an ID token says."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: int
    iat: int
    nonce: str = ""
    azp: str | None = None
    email: str | None = None
    email_verified: bool | Literal["true", "false"] = False
    name: str | None = None

    def profile(self) -> flow.Profile:
        """Whom the token names."""
        return flow.checked(
            flow.Profile(
                subject=self.sub,
                mail=self.email,
                is_mail_verified=self.email_verified in {True, "true"},
                name=self.name,
            )
        )


class Keys:
    """The keys that a provider publishes, as this process has last seen them."""

    def __init__(self, url: str, purpose: str) -> None:
        self._url = url
        self._purpose = purpose
        self._keys: dict[str, RSAPublicKey] = {}
        self._fresh_until_s = 0
        self._looked_s = 0

    async def key(self, send: Send, kid: str, now_s: int) -> RSAPublicKey:
        """The key of this name; ProviderRefused when there is none, ProviderUnavailable."""
        is_stale = now_s >= self._fresh_until_s
        is_unknown = kid not in self._keys and now_s - self._looked_s >= LOOK_AGAIN_S
        if is_stale or is_unknown:
            await self._look(send, now_s)
        key = self._keys.get(kid)
        if key is None:
            raise ProviderRefused
        return key

    async def _look(self, send: Send, now_s: int) -> None:
        request = HttpRequest(
            method="GET",
            url=self._url,
            purpose=self._purpose,
            headers={"Accept": "application/json"},
            timeout_s=flow.TIMEOUT_S,
        )
        response = await flow.answer(send, request)
        if response.status != 200:
            raise ProviderUnavailable
        published = flow.read(response, _Jwks)
        self._keys = {jwk.kid: key for jwk in published.keys if (key := _public(jwk)) is not None}
        self._looked_s = now_s
        self._fresh_until_s = now_s + _fresh_s(response.headers.get("cache-control", ""))


async def verify(
    keys: Keys,
    send: Send,
    token: str,
    *,
    issuers: tuple[str, ...],
    audience: str,
    nonce: str,
    now_s: int,
) -> Claims:
    """What the token says, if it was made by the provider, for us, now and for this sign-in.

    ProviderRefused when it was not; ProviderUnavailable when the provider's keys cannot be had.
    """
    try:
        header = msgspec.convert(jwt.get_unverified_header(token), _Header)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError):
        raise ProviderRefused from None
    key = await keys.key(send, header.kid, now_s)
    try:
        payload = _jws.decode(token, key, algorithms=["RS256"])
        claims = msgspec.json.decode(payload, type=Claims)
    except (jwt.PyJWTError, msgspec.DecodeError, ValueError, RecursionError):
        raise ProviderRefused from None
    is_ours = (
        claims.iss in issuers
        and _is_for(claims, audience)
        and claims.exp + LEEWAY_S > now_s
        and now_s - AGE_S_MAX < claims.iat < now_s + LEEWAY_S
        and hmac.compare_digest(claims.nonce.encode(), nonce.encode())
    )
    if not is_ours:
        raise ProviderRefused
    return claims


def _is_for(claims: Claims, audience: str) -> bool:
    """No other audience is trusted beside us."""
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    return audiences == [audience] and claims.azp in {None, audience}


def _public(jwk: _Jwk) -> RSAPublicKey | None:
    """The key, or None for one that does not sign ID tokens for us."""
    if (jwk.kty, jwk.use, jwk.alg) != ("RSA", "sig", "RS256") or not jwk.kid:
        return None
    try:
        key = RSAPublicNumbers(_number(jwk.e), _number(jwk.n)).public_key()
    except ValueError:
        return None
    return key if key.key_size in RSA_BITS else None


def _number(text: str) -> int:
    try:
        padded = text + "=" * (-len(text) % 4)
        return int.from_bytes(base64.b64decode(padded, altchars=b"-_", validate=True), "big")
    except binascii.Error:
        raise ValueError("not base64url") from None


def _fresh_s(cache_control: str) -> int:
    match = _MAX_AGE.search(cache_control)
    seconds = int(match[1]) if match else FRESH_S_DEFAULT
    return min(max(seconds, FRESH_S_MIN), FRESH_S_MAX)
