"""The second factor: an authenticator app, its recovery codes, and completing a sign-in with them.

Who has an app signs in with it from then on, whatever the first factor is. Taking it away takes a
code, so that a stolen access token is not enough.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, ids, totp
from core.codes import Code
from db import members, mfa, operators, programs
from db.mfa import Status
from db.pg import Db
from gateway import auditing, auth, notices, signin
from gateway.app import Call, read_as
from gateway.sessions import OWN
from gateway.signin import Grant, Subject
from web import problem
from web.routing import Route

#: Whose name the app shows beside the code, for platform staff.
ISSUER: Final = "Stampgate"

#: Six digits of the app, or a recovery code however it is typed.
AnyCode = Annotated[str, Meta(min_length=6, max_length=40)]


class Complete(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of the sign-in, and a code of the app or a recovery code."""

    mfa_token: Annotated[str, Meta(min_length=1, max_length=100)]
    code: AnyCode

    def __repr__(self) -> str:
        return "Complete(…)"


class AppCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the app that is enrolled."""

    code: Code


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the app, or a recovery code."""

    code: AnyCode


class Enrolled(msgspec.Struct, frozen=True):
    """What the app is given: `uri` as a QR code, or `secret` typed in."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Enrolled(…)"


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Each is good once in place of a code of the app. They are not shown again."""

    recovery_codes: list[str]

    def __repr__(self) -> str:
        return "RecoveryCodes(…)"


#: What a route may answer with that takes a code of somebody who is signed in.
WRONG: Final[tuple[type[errors.StampgateError], ...]] = (
    errors.CodeInvalid,
    errors.TotpNotEnrolled,
    errors.RateLimited,
)

_complete = msgspec.json.Decoder(Complete)
_app_code = msgspec.json.Decoder(AppCode)
_proof = msgspec.json.Decoder(Proof)


async def complete(call: Call) -> web.Response:
    """Complete a sign-in with the second factor."""
    given, app = await read_as(call, _complete), call.app
    grant: Grant | None = None
    async with app.transaction() as db:
        subject_id = await mfa.answer(db, app.ring, given.mfa_token, given.code, app.now_ms())
        if subject_id is not None:
            is_member = ids.is_id(subject_id, "member")
            subject = Subject(subject_id, is_member, "second_factor", has_second_factor=True)
            grant = await signin.grant(call, db, subject)
    if grant is None:
        signin.count("second_factor", "refused")
        raise errors.CodeInvalid
    return problem.reply(grant, headers=signin.FRESH)


async def get(call: Call) -> web.Response:
    """Whether one's own sign-in needs a second factor."""
    async with call.app.connection() as db:
        return problem.reply(await mfa.status(db, call.principal.subject))


async def enroll(call: Call) -> web.Response:
    """Begin with an app; it counts once one of its codes is confirmed."""
    program_id, subject_id = signin.own_program(call), call.principal.subject
    async with call.app.transaction() as db:
        secret = await mfa.enroll(db, call.app.ring, program_id, subject_id)
        issuer = ISSUER if program_id is None else (await programs.get(db, program_id)).name
        found = await notices.contacts_of(call, db, subject_id, program_id)
    account = found[0].address if found else subject_id
    uri = totp.uri(secret, account=account, issuer=issuer)
    return problem.reply(Enrolled(secret, uri), call.route.status, signin.FRESH)


async def verify(call: Call) -> web.Response:
    """Confirm the app with one of its codes; from now on sign-ins ask for it."""
    code, app = (await read_as(call, _app_code)).code, call.app
    subject_id = call.principal.subject
    async with app.transaction() as db:
        made = await mfa.enable(db, app.ring, subject_id, code, app.now_ms())
        if made is not None:
            await _note(call, db, "second_factor.enable", "second_factor_on")
    if made is None:
        raise errors.CodeInvalid
    return problem.reply(RecoveryCodes(made), headers=signin.FRESH)


async def remove(call: Call) -> web.Response:
    """Sign in without the app from now on."""
    code, app = (await read_as(call, _proof)).code, call.app
    subject_id = call.principal.subject
    async with app.transaction() as db:
        is_right = await mfa.check(db, app.ring, subject_id, code, app.now_ms())
        if is_right:
            await mfa.disable(db, subject_id)
            await _note(call, db, "second_factor.disable", "second_factor_off")
    if not is_right:
        raise errors.CodeInvalid
    return web.Response(status=204)


async def renew_recovery_codes(call: Call) -> web.Response:
    """New recovery codes in place of the old ones."""
    code, app = (await read_as(call, _proof)).code, call.app
    subject_id = call.principal.subject
    made: list[str] = []
    async with app.transaction() as db:
        if await mfa.check(db, app.ring, subject_id, code, app.now_ms()):
            made = await mfa.renew_recovery_codes(db, subject_id)
            await auditing.record(
                call, db, "recovery_codes.renew", subject_id, program_id=signin.own_program(call)
            )
    if not made:
        raise errors.CodeInvalid
    return problem.reply(RecoveryCodes(made), headers=signin.FRESH)


async def take_from_member(call: Call) -> web.Response:
    """Let a member who has lost app and recovery codes sign in without them."""
    member_id, program_id = call.params["member_id"], call.principal.program_id
    async with call.app.transaction() as db:
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
        await _take(call, db, member_id, program_id)
    return web.Response(status=204)


async def take_from_operator(call: Call) -> web.Response:
    """The same for a colleague."""
    operator_id, program_id = call.params["operator_id"], call.principal.named_program
    if operator_id == call.principal.subject:
        raise errors.Conflict("One's own app is taken away with one of its codes.")
    async with call.app.transaction() as db:
        operator = await operators.get(db, call.app.ring, program_id, operator_id)
        auth.check_power(call.principal, operator.role)
        await _take(call, db, operator_id, program_id)
    return web.Response(status=204)


async def _take(call: Call, db: Db, subject_id: str, program_id: str | None) -> None:
    if await mfa.disable(db, subject_id):
        await auditing.record(call, db, "second_factor.reset", subject_id, program_id=program_id)
        await notices.send(call, db, subject_id, program_id, "second_factor_off")


async def _note(call: Call, db: Db, action: str, template: str) -> None:
    """Write what the caller did into the audit log, and tell the caller's mailbox."""
    subject_id, program_id = call.principal.subject, signin.own_program(call)
    await auditing.record(call, db, action, subject_id, program_id=program_id)
    await notices.send(call, db, subject_id, program_id, template)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/auth/mfa",
        handler=complete,
        name="complete_sign_in",
        summary="Complete a sign-in with a code of the authenticator app or a recovery code",
        body=Complete,
        reply=Grant,
        is_secret=True,
        repeats="The token is good once; whoever lost the answer signs in again.",
        errors=(
            *signin.ERRORS,
            errors.MfaTokenInvalid,
            errors.CodeInvalid,
            errors.TotpNotEnrolled,
            errors.RateLimited,
        ),
    ),
    Route(
        method="GET",
        path="/v1/auth/mfa",
        handler=get,
        name="get_second_factor",
        summary="Whether one's own sign-in needs a second factor",
        scope=OWN,
        reply=Status,
    ),
    Route(
        method="POST",
        path="/v1/auth/mfa/totp/enroll",
        handler=enroll,
        name="enroll_totp",
        summary="Begin with an authenticator app, in place of one that was never confirmed",
        scope=OWN,
        reply=Enrolled,
        status=201,
        is_secret=True,
        repeats="An app that was not confirmed gives way to the next one.",
        errors=(errors.TotpEnabled, errors.OperatorNotFound, errors.ProgramNotFound),
    ),
    Route(
        method="POST",
        path="/v1/auth/mfa/totp/verify",
        handler=verify,
        name="verify_totp",
        summary="Confirm the app with a code; the only answer that has the recovery codes",
        scope=OWN,
        body=AppCode,
        reply=RecoveryCodes,
        is_secret=True,
        repeats="Once confirmed it is refused; whoever lost the answer makes new recovery codes.",
        errors=(*WRONG, errors.TotpEnabled, errors.OperatorNotFound),
    ),
    Route(
        method="DELETE",
        path="/v1/auth/mfa/totp",
        handler=remove,
        name="remove_totp",
        summary="Sign in without the app from now on",
        scope=OWN,
        body=Proof,
        status=204,
        errors=(*WRONG, errors.OperatorNotFound),
    ),
    Route(
        method="POST",
        path="/v1/auth/mfa/recovery-codes",
        handler=renew_recovery_codes,
        name="renew_recovery_codes",
        summary="New recovery codes in place of the old ones",
        scope=OWN,
        body=Proof,
        reply=RecoveryCodes,
        is_secret=True,
        repeats="Newer codes replace them; whoever lost the answer asks again.",
        errors=WRONG,
    ),
    Route(
        method="DELETE",
        path="/v1/members/{member_id}/mfa/totp",
        handler=take_from_member,
        name="reset_member_totp",
        summary="Let a member who has lost app and recovery codes sign in without them",
        scope="security:write",
        status=204,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="DELETE",
        path="/v1/operators/{operator_id}/mfa/totp",
        handler=take_from_operator,
        name="reset_operator_totp",
        summary="Let an operator who has lost app and recovery codes sign in without them",
        scope="operators:write",
        status=204,
        errors=(errors.OperatorNotFound, errors.Conflict, errors.ScopeNotYours),
    ),
)
