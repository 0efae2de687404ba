"""A local Google: OpenID Connect with RS256, and the keys for it at a JWKS address."""

from __future__ import annotations

import base64
import functools
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.providers.server import CLIENT_ID, CLIENT_SECRET, Grant, Server

ISSUER = "https://accounts.google.com"


@functools.cache
def key(_number: int) -> RSAPrivateKey:
    """A signing key; making one takes a while."""
    return generate_private_key(65_537, 2048)


class Google(Server):
    """`claims` replace those of the next ID tokens, None leaves one out; `forge` makes them."""

    authorize_path = "/o/oauth2/v2/auth"
    keys_path = "/oauth2/v3/certs"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.claims: dict[str, Any] = {}
        self.keys = {"kid-0": key(0)}
        self.signs_with = ("kid-0", key(0))
        self.cache_control = "public, max-age=19845, must-revalidate, no-transform"
        self.published: dict[str, Any] | None = None
        self.forge: Any = None

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.get(self.keys_path, self.publish)]

    def config(self) -> dict[str, Any]:
        return {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "authorize_url": self.url + self.authorize_path,
            "exchange_url": self.url + self.token_path,
            "keys_url": self.url + self.keys_path,
        }

    async def publish(self, _: web.Request) -> web.Response:
        keys = self.published or {"keys": [jwk(kid, one) for kid, one in self.keys.items()]}
        return web.json_response(keys, headers={"Cache-Control": self.cache_control})

    def first_tokens(self, grant: Grant) -> dict[str, Any]:
        answer = {**super().first_tokens(grant), "id_token": self.id_token(grant)}
        # As Google does: a refresh token only for those who asked for offline access.
        if self.last_authorization.get("access_type") != "offline":
            del answer["refresh_token"]
        return answer

    def id_token(self, grant: Grant) -> str:
        now_s = int(time.time())
        person = grant.person
        claims = {
            "iss": ISSUER,
            "azp": CLIENT_ID,
            "aud": CLIENT_ID,
            "sub": person.id,
            "email": person.mail,
            "email_verified": person.is_mail_verified,
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "nonce": grant.nonce,
            "name": person.name,
            "iat": now_s,
            "exp": now_s + 3600,
            **self.claims,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        if self.forge is not None:
            return str(self.forge(kept))
        return signed(kept, *self.signs_with)


def signed(claims: dict[str, Any], kid: str = "kid-0", private: RSAPrivateKey | None = None) -> str:
    """An ID token."""
    return jwt.encode(claims, private or key(0), algorithm="RS256", headers={"kid": kid})


def jwk(kid: str, private: RSAPrivateKey, **changes: str) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    return {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "n": _base64url(numbers.n),
        "e": _base64url(numbers.e),
        **changes,
    }


def _base64url(number: int) -> str:
    value = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
