"""Bearer tokens: JSON Web Tokens signed with EdDSA or RS256, nothing else.

The key is found by the exact `kid`, and the key decides the algorithm: what the header says about
itself is only ever compared. Required claims: iss, sub, iat, exp. `program` is the tenant; only
platform staff have none. `scope` is a list separated by spaces (RFC 9068). `role` is what the
caller is (`core.roles`), `sid` the session of a person who signed in, `mfa` whether that took a
second factor, `rate` how many requests a minute the token may make, if not what its role may.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from core import keyring
from core.errors import InvalidRequest, TokenExpired, TokenInvalid

SCOPES: Final = (
    "links:read",
    "links:write",
    "clicks:read",
    "clicks:write",
    "members:read",
    "members:write",
    "awards:read",
    "awards:write",
    "programs:read",
    "programs:write",
    "offers:read",
    "offers:write",
    "webhooks:read",
    "webhooks:write",
    "keys:read",
    "keys:write",
    "operators:read",
    "operators:write",
    "security:write",
    "privacy:read",
    "privacy:write",
    "audit:read",
    "wallet:read",
    "withdrawals:read",
    "withdrawals:write",
    "withdrawals:approve",
    "conversions:read",
    "conversions:write",
    "platform:admin",
)
#: Scopes that only a person's session has: what is the caller's own, as member or as operator.
OWN: Final = ("me", "self")
PLATFORM: Final = "platform:admin"
TOKEN_BYTES_MAX: Final = 4096

# Clocks of neighboring machines differ; a token must not be refused by the one that is behind.
LEEWAY_S: Final = 10

_PublicKey = tuple[str, Ed25519PublicKey | RSAPublicKey]

_jws: Final = jwt.PyJWS(algorithms=["EdDSA", "RS256"])


class Principal(msgspec.Struct, frozen=True):
    """Who is calling. `program_id` is None for platform staff, who name the program themselves.
    `key_id` is the API key's, and empty for whoever has a token.
    """

    program_id: str | None
    subject: str
    scopes: frozenset[str]
    expires_s: int
    token_id: str
    role: str = "app"
    session_id: str = ""
    rate_per_minute: int | None = None
    has_second_factor: bool = False
    key_id: str = ""


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """Fields that name or carry a key (jku, jwk, x5u, x5c) or change the rules (crit, b64) fail."""

    alg: str
    kid: str
    typ: Literal["JWT", "at+jwt"] = "JWT"


class _Claims(msgspec.Struct, omit_defaults=True):
    iss: Literal["stampgate"]
    sub: str
    iat: int
    exp: int
    nbf: int = 0
    jti: str = ""
    scope: str = ""
    program: str | None = None
    role: Literal["app", "member", "staff", "owner", "admin"] = "app"
    sid: str = ""
    rate: int | None = None
    mfa: bool = False


def issue(
    ring: keyring.KeyRing,
    *,
    program_id: str | None,
    subject: str,
    scopes: Iterable[str],
    now_s: int,
    ttl_s: int,
    token_id: str,
    role: Literal["app", "member", "staff", "owner", "admin"] = "app",
    session_id: str = "",
    rate_per_minute: int | None = None,
    has_second_factor: bool = False,
) -> str:
    """Sign a token with the active key; InvalidRequest for a scope that does not exist."""
    wanted = set(scopes)
    if unknown := wanted - set(SCOPES) - set(OWN):
        raise InvalidRequest(f"There is no scope {', '.join(sorted(unknown))}.")
    if program_id is None and PLATFORM not in wanted:
        raise InvalidRequest(f"A token without a program needs the scope {PLATFORM}.")
    claims = _Claims(
        iss="stampgate",
        sub=subject,
        iat=now_s,
        exp=now_s + ttl_s,
        jti=token_id,
        scope=" ".join(scope for scope in (*OWN, *SCOPES) if scope in wanted),
        program=program_id,
        role=role,
        sid=session_id,
        rate=rate_per_minute,
        mfa=has_second_factor,
    )
    key = ring.token[ring.active_token]
    return _jws.encode(
        msgspec.json.encode(claims),
        keyring.private_key(key),
        algorithm=key.alg,
        headers={"kid": ring.active_token},
    )


def verify(ring: keyring.KeyRing, token: str, now_s: int) -> Principal:
    """Whose token this is; TokenInvalid or TokenExpired when it does not count."""
    return Verifier(ring).verify(token, now_s)


class Verifier:
    """Verifies tokens and remembers those that were good, so that a signature is checked once.

    Only good tokens are remembered, at most `tokens_max`, the oldest leaving first. A remembered
    token still expires, and is good only as long as the key that it was signed with is in the ring.
    """

    def __init__(self, ring: keyring.KeyRing, tokens_max: int = 4096) -> None:
        self._keys = _public_keys(ring)
        self._tokens_max = tokens_max
        self._known: dict[str, tuple[Principal, str, _PublicKey]] = {}

    def use(self, ring: keyring.KeyRing) -> None:
        """Go on with the keys of another ring; a key that is in both keeps its tokens warm."""
        found = _public_keys(ring)
        self._keys = {
            kid: self._keys[kid] if self._keys.get(kid) == key else key
            for kid, key in found.items()
        }

    def has_key_of(self, token: str) -> bool:
        """Whether the ring has a key by the name that the token gives; True for what is no token.

        A process that has not read a rotated ring yet can tell by this that it should.
        """
        try:
            return jwt.get_unverified_header(token)["kid"] in self._keys
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
            return True

    def verify(self, token: str, now_s: int) -> Principal:
        """Whose token this is; TokenInvalid or TokenExpired when it does not count."""
        known = self._known.get(token)
        if known is not None:
            principal, kid, key = known
            if now_s < principal.expires_s + LEEWAY_S and self._keys.get(kid) is key:
                return principal
            del self._known[token]
        principal, kid = self._check(token, now_s)
        if len(self._known) >= self._tokens_max:
            del self._known[next(iter(self._known))]
        self._known[token] = principal, kid, self._keys[kid]
        return principal

    def _check(self, token: str, now_s: int) -> tuple[Principal, str]:
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenInvalid
        claims, kid = self._read(token)
        if claims.exp + LEEWAY_S <= now_s:
            raise TokenExpired
        scopes = frozenset(claims.scope.split())
        is_early = max(claims.iat, claims.nbf) > now_s + LEEWAY_S
        if is_early or not claims.sub or (claims.program is None and PLATFORM not in scopes):
            raise TokenInvalid
        principal = Principal(
            claims.program, claims.sub, scopes, claims.exp, claims.jti, claims.role, claims.sid,
            claims.rate, claims.mfa,
        )  # fmt: skip
        return principal, kid

    def _read(self, token: str) -> tuple[_Claims, str]:
        """Claims whose signature is right; every way to fail looks the same from outside."""
        try:
            header = msgspec.convert(jwt.get_unverified_header(token), _Header)
            algorithm, key = self._keys[header.kid]
            payload = _payload(token, algorithm, key)
            return msgspec.json.decode(payload, type=_Claims), header.kid
        # Not every PyJWT turns the RecursionError of a deeply nested header into its own error.
        except (jwt.PyJWTError, msgspec.DecodeError, KeyError, ValueError, RecursionError):
            raise TokenInvalid from None


def _public_keys(ring: keyring.KeyRing) -> dict[str, _PublicKey]:
    return {kid: (key.alg, keyring.public_key(key)) for kid, key in ring.token.items()}


def _payload(token: str, algorithm: str, key: Ed25519PublicKey | RSAPublicKey) -> bytes:
    payload = _jws.decode(token, key, algorithms=[algorithm])
    assert isinstance(payload, bytes)
    return payload
