"""Sign-ins with a provider that are under way. They live in Redis, for minutes, and are good once.

Two secrets stand in for them: the state, which goes to the provider with the browser, and the code,
which goes to the app with the browser. Redis knows their hashes only.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

import msgspec

from core import errors, fields
from core.keyring import KeyRing
from core.providers.social.flow import Profile
from db import keys, redis

#: How long a person may take at the provider's.
STATE_TTL_S: Final = 600
#: How long an app may take to redeem the code that the browser brought.
CODE_TTL_S: Final = 60


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that was sent to a provider.

    `browser` is the hash of its cookie, `challenge` and `app_state` came from the app.
    """

    provider: str
    program_id: str
    browser: bytes
    verifier: str
    nonce: str
    redirect_uri: str
    challenge: str
    app_state: str

    def __repr__(self) -> str:
        return f"Begun({self.provider}, {self.program_id})"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A person whom a provider named, for the app that holds the verifier of `challenge`."""

    provider: str
    program_id: str
    challenge: str
    profile: Profile
    refresh_token: str | None

    def __repr__(self) -> str:
        return f"Proof({self.provider}, {self.program_id})"


async def begin(connection: redis.Connection, state: str, begun: Begun) -> None:
    """Keep what was begun with this state."""
    await connection.call(
        "SET", keys.sign_in_state(_hash(state)), msgspec.json.encode(begun), "EX", STATE_TTL_S
    )


async def take(connection: redis.Connection, state: str) -> Begun:
    """What was begun with this state, which is used up by it; SignInStateInvalid."""
    stored = await connection.call("GETDEL", keys.sign_in_state(_hash(state)))
    if stored is None:
        raise errors.SignInStateInvalid
    return msgspec.json.decode(stored, type=Begun)


async def keep(connection: redis.Connection, ring: KeyRing, code: str, proof: Proof) -> None:
    """Keep a proof for whoever brings this code."""
    digest = _hash(code)
    sealed = fields.seal(
        ring,
        msgspec.json.encode(proof).decode(),
        _context(digest),
        os.urandom(fields.NONCE_BYTES),
    )
    await connection.call("SET", keys.sign_in_code(digest), sealed, "EX", CODE_TTL_S)


async def redeem(connection: redis.Connection, ring: KeyRing, code: str) -> Proof:
    """The proof that was kept for this code, which is used up by it; SignInCodeInvalid."""
    digest = _hash(code)
    sealed = await connection.call("GETDEL", keys.sign_in_code(digest))
    if sealed is None:
        raise errors.SignInCodeInvalid
    return msgspec.json.decode(fields.unseal(ring, sealed, _context(digest)), type=Proof)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _context(digest: str) -> str:
    return f"sign-in code:{digest}"
