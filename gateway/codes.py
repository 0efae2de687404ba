"""One-time codes by mail or message: signing in with one, and setting a password with one.

Whoever asks for a code is answered alike whether or not somebody has the contact, after the same
work: who it is is found out when the code is sent. A wrong, a used and an expired code are refused
alike. Operators have routes of their own, because their mail address says what they belong to.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from core import codes, contacts, errors, passwords
from core.codes import Code, Purpose
from core.contacts import Email, Phone
from db import codes as stored
from db import contacts as stored_contacts
from db import credentials, mfa, operators, sessions
from db.codes import Aim, Limits
from db.pg import Db
from gateway import auditing, limits, notices, signin
from gateway.app import Call, read_as
from gateway.signin import SignIn, Subject
from web import metrics, problem
from web.routing import Route


class SendCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to send a code: a member's mail address or phone number."""

    email: Email | None = None
    phone: Phone | None = None

    def __repr__(self) -> str:
        return "SendCode(…)"


class SendOperatorCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send a code: an operator's mail address."""

    email: Email

    def __repr__(self) -> str:
        return "SendOperatorCode(…)"


class UseCode(SendCode, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code, and where it was sent."""

    code: Code


class UseOperatorCode(SendOperatorCode, frozen=True, forbid_unknown_fields=True):
    """The code, and where it was sent."""

    code: Code


class ResetPassword(UseCode, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code, where it was sent, and the password to come."""

    new_password: passwords.Attempt


class ResetOperatorPassword(UseOperatorCode, frozen=True, forbid_unknown_fields=True):
    """The code, where it was sent, and the password to come."""

    new_password: passwords.Attempt


class CodeSent(msgspec.Struct, frozen=True):
    """That a code is on its way if somebody has the contact; for how long it is good, and when
    another one may be asked for, in seconds."""

    expires_in: int = codes.TTL_S
    resend_after: int = codes.RESEND_AFTER_S


class Owner(NamedTuple):
    """Who used a code."""

    id: str
    program_id: str | None


_send = msgspec.json.Decoder(SendCode)
_send_operator = msgspec.json.Decoder(SendOperatorCode)
_use = msgspec.json.Decoder(UseCode)
_use_operator = msgspec.json.Decoder(UseOperatorCode)
_reset = msgspec.json.Decoder(ResetPassword)
_reset_operator = msgspec.json.Decoder(ResetOperatorPassword)


async def send_code(call: Call) -> web.Response:
    """Send a member a code to sign in with."""
    return await _ask_member(call, "sign_in")


async def send_operator_code(call: Call) -> web.Response:
    """Send an operator a code to sign in with."""
    return await _ask_operator(call, "sign_in")


async def send_reset(call: Call) -> web.Response:
    """Send a member a code to set a password with."""
    return await _ask_member(call, "reset")


async def send_operator_reset(call: Call) -> web.Response:
    """Send an operator a code to set a password with."""
    return await _ask_operator(call, "reset")


async def _ask_member(call: Call, purpose: Purpose) -> web.Response:
    sent = await read_as(call, _send)
    contact = contacts.one_of(sent.email, sent.phone)
    return await ask(call, Aim(signin.program_of(call), purpose, contact))


async def _ask_operator(call: Call, purpose: Purpose) -> web.Response:
    contact = contacts.email((await read_as(call, _send_operator)).email)
    return await ask(call, Aim(None, purpose, contact))


async def ask(call: Call, aim: Aim, subject_id: str | None = None) -> web.Response:
    """Have a code sent; for `subject_id`, if it is known who asks."""
    app = call.app
    source, most = signin.network(call) or "", app.settings.code_network_hourly
    if subject_id is not None:
        source, most = subject_id, codes.SENDS_PER_PERSON
    try:
        async with app.transaction() as db:
            await stored.ask(
                db,
                app.ring,
                aim,
                app.now_ms(),
                language=notices.language(call),
                source=source,
                limits=Limits(app.settings.code_block_hourly, most),
                subject_id=subject_id,
            )
    except errors.RateLimited:
        metrics.codes.labels(aim.purpose, "throttled").inc()
        raise
    metrics.codes.labels(aim.purpose, "asked").inc()
    return problem.reply(CodeSent(), 202)


async def sign_in(call: Call) -> web.Response:
    """A member signs in with a code, which also proves that the contact is the member's."""
    used = await read_as(call, _use)
    contact = contacts.one_of(used.email, used.phone)
    return await _sign_in(call, Aim(signin.program_of(call), "sign_in", contact), used.code)


async def sign_in_operator(call: Call) -> web.Response:
    """An operator or an admin signs in with a code."""
    used = await read_as(call, _use_operator)
    return await _sign_in(call, Aim(None, "sign_in", contacts.email(used.email)), used.code)


async def _sign_in(call: Call, aim: Aim, code: str) -> web.Response:
    answer: SignIn | None = None
    async with _attempt(call, aim):
        async with call.app.transaction() as db:
            owner = await _redeem(call, db, aim, code)
            if owner is not None:
                subject = Subject(owner.id, aim.program_id is not None, "code")
                answer = await signin.admit(call, db, subject)
        if answer is None:
            signin.count("code", "refused")
            raise errors.CodeInvalid
    return problem.reply(answer, headers=signin.FRESH)


async def reset_password(call: Call) -> web.Response:
    """Set a member's password with a code; all sessions end."""
    wanted = await read_as(call, _reset)
    contact = contacts.one_of(wanted.email, wanted.phone)
    aim = Aim(signin.program_of(call), "reset", contact)
    return await _set_password(call, aim, wanted.code, wanted.new_password)


async def reset_operator_password(call: Call) -> web.Response:
    """Set an operator's password with a code; all sessions end."""
    wanted = await read_as(call, _reset_operator)
    aim = Aim(None, "reset", contacts.email(wanted.email))
    return await _set_password(call, aim, wanted.code, wanted.new_password)


async def _set_password(call: Call, aim: Aim, code: str, password: str) -> web.Response:
    app = call.app
    passwords.check(password, aim.contact.address)
    # Before the code is looked at, so that a wrong one costs what a right one does, and no
    # connection is held meanwhile.
    ended: list[str] = []
    async with _attempt(call, aim):
        password_hash = await app.hashing.hashed(password)
        async with app.transaction() as db:
            owner = await _redeem(call, db, aim, code)
            if owner is not None:
                await credentials.put(db, owner.id, owner.program_id, password_hash)
                # First: a sign-in that is being completed has its session before this goes on.
                await mfa.give_up(db, owner.id)
                ended = await sessions.revoke_all(db, owner.id, app.lifetimes)
                await notices.send(call, db, owner.id, owner.program_id, "password_changed")
                await auditing.record(
                    call, db, "password.reset", owner.id, program_id=owner.program_id
                )
        if owner is None:
            raise errors.CodeInvalid
    await signin.end(app, ended)
    return web.Response(status=204)


async def _redeem(call: Call, db: Db, aim: Aim, code: str) -> Owner | None:
    """Who used the code, if it is right and the contact still theirs, which is thereby proved."""
    app = call.app
    subject_id = await redeem(call, db, aim, code)
    if subject_id is None:
        return None
    if aim.program_id is None:
        operator = await operators.find(db, app.ring, aim.contact)
        return Owner(*operator) if operator and operator.id == subject_id else None
    member_id = await stored_contacts.verify(db, app.ring, aim.program_id, aim.contact)
    return Owner(subject_id, aim.program_id) if member_id == subject_id else None


def _attempt(call: Call, aim: Aim) -> AbstractAsyncContextManager[None]:
    """A wrong code counts as a wrong password does."""
    hashes_of = operators.hashes if aim.program_id is None else stored_contacts.hashes
    account = limits.account(aim.program_id, hashes_of(call.app.ring, aim.contact)[0])
    return limits.attempt(call.app, account, call.address, errors.CodeInvalid)


async def redeem(call: Call, db: Db, aim: Aim, code: str) -> str | None:
    """For whom the code was, if it is right; the caller commits in any case."""
    app = call.app
    subject_id = await stored.redeem(db, app.ring, aim, code, app.now_ms())
    metrics.codes.labels(aim.purpose, "wrong" if subject_id is None else "right").inc()
    return subject_id


_ASKED: Final[tuple[type[errors.StampgateError], ...]] = (
    errors.RateLimited,
    errors.Unavailable,
    errors.OutcomeUnknown,
)
_USED: Final[tuple[type[errors.StampgateError], ...]] = (
    *signin.ERRORS,
    errors.CodeInvalid,
    errors.RateLimited,
)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/auth/otp/send",
        handler=send_code,
        name="send_code",
        summary="Send a member a code to sign in with, if there is one with this contact",
        body=SendCode,
        reply=CodeSent,
        status=202,
        repeats="Another code is sent in place of this one, at most so often.",
        errors=(*_ASKED, *signin.PROGRAM_ERRORS),
    ),
    Route(
        method="POST",
        path="/v1/auth/otp/verify",
        handler=sign_in,
        name="sign_in_with_code",
        summary="A member signs in with a code, to the program of the header",
        body=UseCode,
        reply=SignIn,
        is_secret=True,
        repeats="The code is good once; whoever lost the answer asks for another.",
        errors=(*_USED, *signin.PROGRAM_ERRORS),
    ),
    Route(
        method="POST",
        path="/v1/auth/operators/otp/send",
        handler=send_operator_code,
        name="send_operator_code",
        summary="Send an operator a code to sign in with, if there is one with this address",
        body=SendOperatorCode,
        reply=CodeSent,
        status=202,
        repeats="Another code is sent in place of this one, at most so often.",
        errors=_ASKED,
    ),
    Route(
        method="POST",
        path="/v1/auth/operators/otp/verify",
        handler=sign_in_operator,
        name="sign_in_operator_with_code",
        summary="An operator or an admin signs in with a code",
        body=UseOperatorCode,
        reply=SignIn,
        is_secret=True,
        repeats="The code is good once; whoever lost the answer asks for another.",
        errors=_USED,
    ),
    Route(
        method="POST",
        path="/v1/auth/password/reset",
        handler=send_reset,
        name="send_password_reset",
        summary="Send a member a code to set a password with, if there is one with this contact",
        body=SendCode,
        reply=CodeSent,
        status=202,
        repeats="Another code is sent in place of this one, at most so often.",
        errors=(*_ASKED, *signin.PROGRAM_ERRORS),
    ),
    Route(
        method="POST",
        path="/v1/auth/password/reset/confirm",
        handler=reset_password,
        name="reset_password",
        summary="Set a member's password with a code; all sessions end",
        body=ResetPassword,
        status=204,
        repeats="The code is good once; whoever lost the answer asks for another.",
        errors=(*_USED, *signin.PROGRAM_ERRORS, errors.PasswordTooWeak),
    ),
    Route(
        method="POST",
        path="/v1/auth/operators/password/reset",
        handler=send_operator_reset,
        name="send_operator_password_reset",
        summary="Send an operator a code to set a password with, if there is one with this address",
        body=SendOperatorCode,
        reply=CodeSent,
        status=202,
        repeats="Another code is sent in place of this one, at most so often.",
        errors=_ASKED,
    ),
    Route(
        method="POST",
        path="/v1/auth/operators/password/reset/confirm",
        handler=reset_operator_password,
        name="reset_operator_password",
        summary="Set an operator's password with a code; all sessions end",
        body=ResetOperatorPassword,
        status=204,
        repeats="The code is good once; whoever lost the answer asks for another.",
        errors=(*_USED, errors.PasswordTooWeak),
    ),
)
