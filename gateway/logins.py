"""Signing in with a password, and changing it.

Wrong address, wrong password and an account without one are answered alike, after the same work.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from core import contacts, errors, passwords
from core.contacts import Email, Phone
from db import contacts as stored_contacts
from db import credentials, mfa, operators, sessions
from db.credentials import Known
from gateway import auditing, limits, notices, signin
from gateway.app import Call, read_as
from gateway.sessions import OWN
from gateway.signin import SignIn, Subject
from web import problem
from web.routing import Route


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member's mail address or phone number, and the password."""

    email: Email | None = None
    phone: Phone | None = None
    password: passwords.Attempt

    def __repr__(self) -> str:
        return "Login(…)"


class OperatorLogin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's mail address and password."""

    email: Email
    password: passwords.Attempt

    def __repr__(self) -> str:
        return "OperatorLogin(…)"


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The present password and the one to come."""

    current_password: passwords.Attempt
    new_password: passwords.Attempt

    def __repr__(self) -> str:
        return "ChangePassword(…)"


_login = msgspec.json.Decoder(Login)
_operator_login = msgspec.json.Decoder(OperatorLogin)
_change = msgspec.json.Decoder(ChangePassword)


async def log_in(call: Call) -> web.Response:
    """A member signs in to the program that the header names."""
    login = await read_as(call, _login)
    contact = contacts.one_of(login.email, login.phone)
    program_id = signin.program_of(call)
    hashes = stored_contacts.hashes(call.app.ring, contact)
    async with call.app.connection() as db:
        known = await credentials.of_member(db, program_id, contact.channel, hashes)
    return await _sign_in(call, known, limits.account(program_id, hashes[0]), login.password)


async def log_in_operator(call: Call) -> web.Response:
    """An operator or an admin signs in; the mail address says to what."""
    login = await read_as(call, _operator_login)
    hashes = operators.hashes(call.app.ring, contacts.email(login.email))
    async with call.app.connection() as db:
        known = await credentials.of_operator(db, hashes)
    return await _sign_in(call, known, limits.account(None, hashes[0]), login.password)


async def _sign_in(call: Call, known: Known, account: bytes, password: str) -> web.Response:
    refused = errors.SignInRefused
    try:
        async with limits.attempt(call.app, account, signin.client(call), refused):
            grant = await _grant(call, known, password)
    except refused:
        signin.count("password", "refused")
        # Also of an account that there is not: a refusal takes the same time for all.
        async with call.app.transaction() as db:
            subject_id = known.subject_id or ""
            await auditing.record(
                call, db, "session.refuse", subject_id, program_id=known.program_id
            )
        raise
    return problem.reply(grant, headers=signin.FRESH)


async def _grant(call: Call, known: Known, password: str) -> SignIn:
    upgraded = await proved(call, known, password)
    async with call.app.transaction() as db:
        if known.subject_id is None or not await credentials.confirm(db, known, upgraded):
            raise errors.SignInRefused
        is_member = known.role == "member"
        return await signin.admit(call, db, Subject(known.subject_id, is_member, "password"))


async def proved(call: Call, known: Known, password: str) -> str | None:
    """The stored form that should take the place of a dated one, if it is one.

    SignInRefused when it is not the password, OverCapacity when too many sign in.
    """
    hashing = call.app.hashing
    try:
        if not await hashing.verify(known.password_hash, password, known.imported):
            raise errors.SignInRefused
        if known.password_hash is None or not passwords.is_dated(known.password_hash):
            return None
        return await hashing.hashed(password)
    except errors.OverCapacity:
        signin.count("password", "busy")
        raise


async def change_password(call: Call) -> web.Response:
    """Change one's own password; all other sessions end."""
    app, caller = call.app, call.principal
    change = await read_as(call, _change)
    program_id = signin.own_program(call)
    async with app.connection() as db:
        own = await notices.contacts_of(call, db, caller.subject, program_id)
        known = await credentials.of_subject(db, caller.subject)
    passwords.check(change.new_password, *(one.address for one in own))
    if known is None:
        raise errors.SignInRefused("There is no password yet; set one with a code.")
    account, refused = caller.subject.encode(), errors.SignInRefused
    try:
        async with limits.attempt(app, account, signin.client(call), refused):
            await proved(call, known, change.current_password)
    except refused:
        signin.count("password", "refused")
        raise
    new_hash = await app.hashing.hashed(change.new_password)
    async with app.transaction() as db:
        if not await credentials.change(db, known, new_hash):
            raise errors.SignInRefused
        # First: a sign-in that is being completed has its session before this goes on.
        await mfa.give_up(db, caller.subject)
        ended = await sessions.revoke_all(db, caller.subject, app.lifetimes, but=caller.session_id)
        await notices.send(call, db, caller.subject, program_id, "password_changed")
        await auditing.record(call, db, "password.change", caller.subject)
    await signin.end(app, ended)
    return web.Response(status=204)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/auth/login",
        handler=log_in,
        name="log_in",
        summary="A member signs in with a password, to the program of the header",
        body=Login,
        reply=SignIn,
        is_secret=True,
        repeats="Each sign-in opens a session of its own.",
        errors=(*signin.ERRORS, *signin.PROGRAM_ERRORS),
    ),
    Route(
        method="POST",
        path="/v1/auth/operators/login",
        handler=log_in_operator,
        name="log_in_operator",
        summary="An operator or an admin signs in with a password",
        body=OperatorLogin,
        reply=SignIn,
        is_secret=True,
        repeats="Each sign-in opens a session of its own.",
        errors=signin.ERRORS,
    ),
    Route(
        method="POST",
        path="/v1/auth/password/change",
        handler=change_password,
        name="change_password",
        summary="Change one's own password; all other sessions end",
        scope=OWN,
        body=ChangePassword,
        status=204,
        repeats="The second time the present password is another one, and nothing is changed.",
        errors=(
            errors.SignInRefused,
            errors.OperatorNotFound,
            errors.PasswordTooWeak,
            errors.RateLimited,
            errors.OverCapacity,
        ),
    ),
)
