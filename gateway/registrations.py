"""Signing up: `/v1/auth/register`, and the code that makes a member of it.

The answer is the same whether or not somebody has the contact: a code is on its way, or a mail that
there is an account already. Nobody is a member before the code has come, together with the token
that only the applicant has: so nobody prepares an account with a password of their own for somebody
else's address, and waits for the owner to prove it.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from typing import Annotated, Final

import msgspec
from aiohttp import web

from core import codes, contacts, errors, passwords
from core import referrals as referring
from core.codes import Code
from core.contacts import Email, Phone
from core.names import Name
from db import codes as stored_codes
from db import contacts as stored_contacts
from db import credentials, members, referral_codes, registrations
from db.codes import Aim, Limits
from db.members import NewMember
from db.pg import Db
from db.registrations import Registration
from gateway import auditing, limits, notices, referrals, signin
from gateway import codes as code_routes
from gateway.app import Call, read_as
from gateway.referral_codes import Typed
from gateway.signin import SignIn, Subject
from web import problem
from web.routing import Route

TOKEN_BYTES: Final = 32


class Register(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member to be: a mail address or a phone number, the password to come, and the code of the
    member by whom somebody came. The code is claimed when the sign-up is confirmed, if it can be.
    """

    email: Email | None = None
    phone: Phone | None = None
    password: passwords.Attempt
    name: Name | None = None
    referral_code: Typed | None = None

    def __repr__(self) -> str:
        return "Register(…)"


class Confirm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token of a sign-up, and the code that was sent."""

    registration_token: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    code: Code

    def __repr__(self) -> str:
        return "Confirm(…)"


class Registered(msgspec.Struct, frozen=True):
    """The token that the code is confirmed with, for how long both are good, and when another code
    may be asked for by signing up again, in seconds."""

    registration_token: str
    expires_in: int = codes.TTL_S
    resend_after: int = codes.RESEND_AFTER_S

    def __repr__(self) -> str:
        return "Registered(…)"


_register = msgspec.json.Decoder(Register)
_confirm = msgspec.json.Decoder(Confirm)


async def register(call: Call) -> web.Response:
    """Keep a sign-up and have a code sent."""
    app, wanted = call.app, await read_as(call, _register)
    contact, program_id = contacts.one_of(wanted.email, wanted.phone), signin.program_of(call)
    passwords.check(wanted.password, contact.address, wanted.name or "")
    code = None if wanted.referral_code is None else referring.spelled(wanted.referral_code)
    new = Registration(
        member_id=app.new_id("member"),
        contact=contact,
        name=wanted.name,
        password_hash=await app.hashing.hashed(wanted.password),
        referral_code=code,
    )
    token = secrets.token_urlsafe(TOKEN_BYTES)
    async with app.transaction() as db:
        if code is not None:
            await referral_codes.owner(db, program_id, code)
        await stored_codes.ask(
            db,
            app.ring,
            Aim(program_id, "register", contact),
            app.now_ms(),
            language=notices.language(call),
            source=signin.network(call) or "",
            limits=Limits(app.settings.code_block_hourly, app.settings.code_network_hourly),
            subject_id=new.member_id,
        )
        await registrations.add(db, app.ring, program_id, _hash(token), new, codes.TTL_S)
    return problem.reply(Registered(token), 202, headers=signin.FRESH)


async def confirm(call: Call) -> web.Response:
    """Make the member, with the account, and sign in."""
    app, given = call.app, await read_as(call, _confirm)
    program_id, token_hash = signin.program_of(call), _hash(given.registration_token)
    answer: SignIn | None = None
    async with limits.attempt(app, token_hash, call.address, errors.CodeInvalid):
        async with app.transaction() as db:
            new = await registrations.find(db, app.ring, program_id, token_hash)
            aim = Aim(program_id, "register", new.contact)
            # A code that was sent for another sign-up with this address is a wrong one.
            if await code_routes.redeem(call, db, aim, given.code) == new.member_id:
                await _make(call, db, program_id, new)
                await registrations.delete(db, token_hash)
                subject = Subject(new.member_id, is_member=True, method="registration")
                answer = await signin.admit(call, db, subject)
        if answer is None:
            signin.count("registration", "refused")
            raise errors.CodeInvalid
    return problem.reply(answer, 201, headers=signin.FRESH)


async def _make(call: Call, db: Db, program_id: str, new: Registration) -> None:
    app = call.app
    await members.add(db, app.ring, program_id, new.member_id, NewMember(name=new.name))
    await stored_contacts.put(
        db, app.ring, program_id, new.member_id, new.contact, is_verified=True
    )
    await credentials.put(db, new.member_id, program_id, new.password_hash)
    await auditing.record(call, db, "member.register", new.member_id, program_id=program_id)
    if new.referral_code is not None:
        # Who cannot claim it any more is a member all the same.
        with contextlib.suppress(*referrals.CLAIMING):
            referral_id = app.new_id("referral")
            await referrals.claimed(
                call, db, program_id, new.member_id, new.referral_code, referral_id
            )
    await app.points.open_accounts(program_id, [new.member_id])


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/auth/register",
        handler=register,
        name="register",
        summary="Sign up as a member of the program of the header; a code is sent",
        body=Register,
        reply=Registered,
        status=202,
        is_secret=True,
        repeats="Another code is sent in place of this one, at most so often.",
        errors=(
            *signin.PROGRAM_ERRORS,
            errors.ReferralCodeNotFound,
            errors.PasswordTooWeak,
            errors.RateLimited,
            errors.OverCapacity,
            errors.Unavailable,
            errors.OutcomeUnknown,
        ),
    ),
    Route(
        method="POST",
        path="/v1/auth/register/confirm",
        handler=confirm,
        name="confirm_registration",
        summary="Become a member with the code that was sent",
        body=Confirm,
        reply=SignIn,
        status=201,
        is_secret=True,
        repeats="The code is good once; after that the member signs in with the password.",
        errors=(
            *signin.ERRORS,
            *signin.PROGRAM_ERRORS,
            errors.RegistrationNotFound,
            errors.CodeInvalid,
            errors.ContactTaken,
            errors.NotOpen,
        ),
    ),
)
