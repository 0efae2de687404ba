"""What every way of signing in ends with: a session, and the tokens for it.

Passwords, one-time codes and social sign-in prove who somebody is and then `grant`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from core import errors, roles, tokens
from core import sessions as refreshing
from db import mfa, sessions
from db.pg import Db
from db.sessions import Opening, Session
from gateway import auditing, auth
from gateway.app import App, Call
from web import metrics, proxies

USER_AGENT_MAX: Final = 200
FRESH: Final = {"Cache-Control": "no-store"}

Method = Literal[
    "password", "code", "social", "refresh", "invitation", "registration", "second_factor"
]
Outcome = Literal["granted", "challenged", "refused", "busy", "reused"]


class Subject(NamedTuple):
    """Who has proved to be who they are; `id` is a member's or an operator's."""

    id: str
    is_member: bool
    method: Method
    has_second_factor: bool = False


class Grant(msgspec.Struct, frozen=True, tag_field="outcome", tag="granted"):
    """What a client needs from now on. Each refresh token is good once and brings the next one."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    session_id: str

    def __repr__(self) -> str:
        return f"Grant({self.session_id})"


class SecondFactor(msgspec.Struct, frozen=True, tag_field="outcome", tag="second_factor"):
    """Who signs in has an authenticator app: its code or a recovery code completes the sign-in at
    `/v1/auth/mfa`, together with this token, within so many seconds."""

    mfa_token: str
    expires_in: int = mfa.CHALLENGE_TTL_S

    def __repr__(self) -> str:
        return "SecondFactor(…)"


#: What a first factor brings.
SignIn = Grant | SecondFactor


async def admit(call: Call, db: Db, subject: Subject) -> SignIn:
    """Let in whoever has proved a first factor, or ask for the second one, in the caller's
    transaction; SignInRefused for whoever may not sign in.
    """
    token = await mfa.challenge(db, subject.id, call.app.now_ms())
    if token is None:
        return await grant(call, db, subject)
    count(subject.method, "challenged")
    return SecondFactor(token)


async def grant(call: Call, db: Db, subject: Subject) -> Grant:
    """Open a session in the caller's transaction; SignInRefused for whoever may not sign in."""
    app = call.app
    entropy = os.urandom(refreshing.REFRESH_ENTROPY_BYTES)
    refresh = refreshing.begin(app.new_id("session"), entropy)
    opening = Opening(
        subject_id=subject.id,
        is_member=subject.is_member,
        has_second_factor=subject.has_second_factor,
        refresh=refresh,
        user_agent=_user_agent(call),
        address=network(call),
    )
    session = await sessions.open(db, opening, app.lifetimes)
    await record(call, db, session, "session.open", {"method": subject.method})
    count(subject.method, "granted")
    return granted(app, session, refresh)


def granted(app: App, session: Session, refresh: refreshing.Refresh) -> Grant:
    """The tokens of a session."""
    ttl_s = app.lifetimes.access_of(session.role)
    access_token = tokens.issue(
        app.ring,
        program_id=session.program_id,
        subject=session.subject_id,
        scopes=roles.SCOPES_OF[session.role],
        now_s=app.now_ms() // 1000,
        ttl_s=ttl_s,
        token_id=app.new_id("token"),
        role=session.role,
        session_id=session.id,
        has_second_factor=session.has_second_factor,
    )
    return Grant(access_token, "Bearer", ttl_s, refreshing.dump(refresh), session.id)


async def end(app: App, session_ids: Sequence[str]) -> None:
    """Tell all processes that these sessions, whose end is committed, are over."""
    until_s = app.now_ms() // 1000 + app.lifetimes.void_s
    await app.revocations.announce(session_ids, until_s)


def count(method: Method, outcome: Outcome) -> None:
    """Count a try to sign in."""
    metrics.sign_ins.labels(method, outcome).inc()


def program_of(call: Call) -> str:
    """The program that a caller without a credential names; Refused without one."""
    program_id = auth.program_of(call.request.headers, None)
    if program_id is None:
        raise errors.Refused(f"Name the program with the header {auth.PROGRAM_HEADER}.")
    return program_id


async def record(
    call: Call, db: Db, session: Session, action: str, after: auditing.Values | None = None
) -> None:
    """Write into the audit log what the owner of a session did with it."""
    owner = auth.Caller(
        session.program_id, session.subject_id, is_platform=False, role=session.role
    )
    own_call = msgspec.structs.replace(call, principal=owner)
    await auditing.record(own_call, db, action, session.id, None, after)


def client(call: Call) -> str:
    """The address that the caller is at."""
    return call.app.proxies.client(call.request.headers, call.request.remote or "")


def own_program(call: Call) -> str | None:
    """The program of whoever is signed in; an admin has none, whichever the header names."""
    return None if call.principal.is_platform else call.principal.program_id


def network(call: Call) -> str | None:
    """Where the caller is, as far as that is stored: the /24 or /48."""
    return proxies.cut(client(call))


def _user_agent(call: Call) -> str:
    text = call.request.headers.get("User-Agent", "")
    return text.encode("ascii", "ignore").decode()[:USER_AGENT_MAX]


#: What any route that grants may answer with.
ERRORS: Final[tuple[type[errors.StampgateError], ...]] = (
    errors.SignInRefused,
    errors.RateLimited,
    errors.OverCapacity,
    errors.Unavailable,
    errors.OutcomeUnknown,
)
#: What any route that takes its program from the header may answer with besides.
PROGRAM_ERRORS: Final[tuple[type[errors.StampgateError], ...]] = (
    errors.Refused,
    errors.ProgramNotFound,
)
