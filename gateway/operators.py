"""`/v1/operators`: who works for a program; for the platform itself, when staff name no program.

An operator is invited by mail and chooses a password with the code in it. Nobody changes their own
role or state, or deletes themselves, so that a program is not left without an owner by a slip.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from core import contacts, errors, passwords, templates
from core.contacts import Email
from core.names import Name
from db import codes, credentials, mfa, notifications, operators, sessions
from db.notifications import New
from db.operators import Operator, OperatorRole, State
from db.pg import Db
from gateway import answers, auditing, auth, lists, patches, signin
from gateway.app import Call, read, read_as
from gateway.signin import SignIn, Subject
from web import problem
from web.routing import Route

CODE_BYTES: Final = 24

#: In which mails are written to an operator.
Language = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}$(?!\n)")]


class NewOperator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody to be invited. `role` is admin for the platform's own staff and only there."""

    email: Email
    name: Annotated[Name, msgspec.Meta(min_length=1)]
    role: OperatorRole
    language: Language = templates.DEFAULT_LANGUAGE


class Employment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of an operator."""

    name: Annotated[Name, msgspec.Meta(min_length=1)]
    role: Literal["staff", "owner"]
    state: State
    language: Language


class Accept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of an invitation, and the password to come."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    password: passwords.Attempt

    def __repr__(self) -> str:
        return "Accept(…)"


EmploymentPatch = patches.patch_of(Employment)
_new = msgspec.json.Decoder(NewOperator)
_patch = msgspec.json.Decoder(EmploymentPatch)
_accept = msgspec.json.Decoder(Accept)


async def create(call: Call) -> web.Response:
    """Store an operator and send the invitation: both, or neither."""
    body = await read(call)
    new = problem.decode(_new, body)
    program_id, email = call.principal.named_program, contacts.email(new.email)
    if (new.role == "admin") != (program_id is None):
        raise errors.InvalidRequest("Admins belong to the platform, staff and owners to a program.")
    auth.check_power(call.principal, new.role)

    async def work(db: Db) -> Operator:
        await _check_admin(call, db)
        added = await operators.add(
            db,
            call.app.ring,
            call.app.new_id("operator"),
            program_id=program_id,
            role=new.role,
            email=email,
            name=new.name,
            language=new.language,
        )
        await _invite(call, db, added)
        after = {"role": added.role, "state": added.state}
        await auditing.record(call, db, "operator.create", added.id, None, after)
        return added

    return await answers.once(call, body, work)


async def invite_again(call: Call) -> web.Response:
    """Send another invitation to somebody without a password; the one before is void."""
    async with call.app.transaction() as db:
        operator = await _get_weaker(call, db)
        if operator.has_password:
            raise errors.Conflict("The operator has a password already.")
        await _invite(call, db, operator)
        await auditing.record(call, db, "operator.invite", operator.id)
    return web.Response(status=204)


async def _invite(call: Call, db: Db, operator: Operator) -> None:
    code, ttl_s = secrets.token_urlsafe(CODE_BYTES), call.app.settings.invitation_ttl_s
    await operators.invite(db, operator.id, _hash(code), ttl_s)
    new = New(
        program_id=operator.program_id,
        recipient_kind="operator",
        recipient_id=operator.id,
        channel="email",
        address=operator.email,
        template="invite_operator",
        language=operator.language,
        variables={"code": code, "hours": ttl_s // 3600},
        dedupe_key=f"invitation:{_hash(code).hex()}",
        expires_at_ms=call.app.now_ms() + ttl_s * 1000,
    )
    await notifications.add(db, call.app.ring, new)


async def accept(call: Call) -> web.Response:
    """Choose a password with the code of an invitation, and sign in."""
    given = await read_as(call, _accept)
    passwords.check(given.password)
    password_hash = await call.app.hashing.hashed(given.password)
    async with call.app.transaction() as db:
        operator_id, program_id = await operators.accept(db, _hash(given.code))
        operator = await operators.get(db, call.app.ring, program_id, operator_id)
        passwords.check(given.password, operator.email, operator.name)
        await credentials.put(db, operator_id, program_id, password_hash)
        # Whoever is invited anew and has an authenticator app does not get past it.
        answer = await signin.admit(
            call, db, Subject(operator_id, is_member=False, method="invitation")
        )
    return problem.reply(answer, headers=signin.FRESH)


async def list_all(call: Call) -> web.Response:
    """The program's operators, or the platform's, oldest first."""
    window = problem.decode_query(lists.Window, call.query)
    after, program_id = window.after("operator"), call.principal.named_program
    async with call.app.connection() as db:
        found = await operators.page(
            db, call.app.ring, program_id, after=after, limit=window.limit + 1
        )
    return problem.reply(lists.page(found, window.limit))


async def get(call: Call) -> web.Response:
    """One operator."""
    async with call.app.connection() as db:
        return problem.reply(await _get(call, db))


async def change(call: Call) -> web.Response:
    """Change the given fields. Whoever is suspended or has another role signs in anew."""
    wanted = patches.changes(await read_as(call, _patch))
    app, program_id = call.app, call.principal.named_program
    operator_id, ended = call.params["operator_id"], list[str]()
    if operator_id == call.principal.subject and wanted.keys() - {"name", "language"}:
        raise errors.Conflict("Nobody changes their own role or state.")
    if program_id is None and "role" in wanted:
        raise errors.InvalidRequest("Admins belong to the platform, staff and owners to a program.")
    if "role" in wanted:
        auth.check_power(call.principal, wanted["role"])
    async with app.transaction() as db:
        before = await _get_weaker(call, db)
        if wanted.get("role", before.role) != before.role:
            await _check_admin(call, db)
        changed = await operators.change(db, app.ring, program_id, operator_id, wanted)
        if (before.role, before.state) != (changed.role, changed.state):
            ended = await sessions.revoke_all(db, operator_id, app.lifetimes)
        await auditing.record(
            call, db, "operator.change", operator_id, _shown(before), _shown(changed)
        )
    await signin.end(app, ended)
    return problem.reply(changed)


async def delete(call: Call) -> web.Response:
    """Delete an operator; all sessions end."""
    app, operator_id = call.app, call.params["operator_id"]
    if operator_id == call.principal.subject:
        raise errors.Conflict("Nobody deletes themselves.")
    async with app.transaction() as db:
        await _get_weaker(call, db)
        await operators.delete(db, call.principal.named_program, operator_id)
        await credentials.delete(db, operator_id)
        await mfa.disable(db, operator_id)
        await codes.forget(db, operator_id)
        ended = await sessions.revoke_all(db, operator_id, app.lifetimes)
        await auditing.record(call, db, "operator.delete", operator_id)
    await signin.end(app, ended)
    return web.Response(status=204)


async def _get(call: Call, db: Db) -> Operator:
    program_id = call.principal.named_program
    return await operators.get(db, call.app.ring, program_id, call.params["operator_id"])


async def _get_weaker(call: Call, db: Db) -> Operator:
    """The operator; ScopeNotYours when an app asks who may do less itself."""
    operator = await _get(call, db)
    auth.check_power(call.principal, operator.role)
    return operator


async def _check_admin(call: Call, db: Db) -> None:
    """Forbidden when an admin would let somebody into a program that has an owner to do so: that
    would be a way in without breaking the glass.
    """
    caller = call.principal
    if caller.role != "admin" or caller.named_program is None:
        return
    if await operators.has_owner(db, caller.named_program):
        raise errors.Forbidden("The program has an owner, who lets people in.")


def _shown(operator: Operator) -> dict[str, object]:
    return {"role": operator.role, "state": operator.state, "language": operator.language}


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/operators",
        handler=create,
        name="create_operator",
        summary="Invite somebody to work for the program, or for the platform",
        scope="operators:write",
        body=NewOperator,
        reply=Operator,
        status=201,
        errors=(
            *(errors.ContactTaken, errors.ProgramNotFound, errors.ScopeNotYours),
            errors.Forbidden,
        ),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/operators",
        handler=list_all,
        name="list_operators",
        summary="List operators, oldest first",
        scope="operators:read",
        query=lists.Window,
        reply=lists.Page[Operator],
    ),
    Route(
        method="GET",
        path="/v1/operators/{operator_id}",
        handler=get,
        name="get_operator",
        summary="Read an operator",
        scope="operators:read",
        reply=Operator,
        errors=(errors.OperatorNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/operators/{operator_id}",
        handler=change,
        name="change_operator",
        summary="Change name, role, state or language of an operator",
        scope="operators:write",
        body=EmploymentPatch,
        reply=Operator,
        errors=(
            *(errors.OperatorNotFound, errors.LastOwner, errors.Conflict),
            *(errors.ScopeNotYours, errors.Forbidden),
        ),
        repeats="The second time nothing differs.",
    ),
    Route(
        method="DELETE",
        path="/v1/operators/{operator_id}",
        handler=delete,
        name="delete_operator",
        summary="Delete an operator",
        scope="operators:write",
        status=204,
        errors=(
            *(errors.OperatorNotFound, errors.LastOwner, errors.Conflict),
            errors.ScopeNotYours,
        ),
        repeats="The second time there is nobody to delete.",
    ),
    Route(
        method="POST",
        path="/v1/operators/{operator_id}/invite",
        handler=invite_again,
        name="invite_operator",
        summary="Send another invitation",
        scope="operators:write",
        status=204,
        errors=(errors.OperatorNotFound, errors.Conflict, errors.ScopeNotYours),
        repeats="The invitation that was sent last is good, and no other.",
    ),
    Route(
        method="POST",
        path="/v1/auth/operators/accept",
        handler=accept,
        name="accept_invitation",
        summary="Choose a password with the code of an invitation",
        body=Accept,
        reply=SignIn,
        errors=(*signin.ERRORS, errors.InvitationNotFound, errors.PasswordTooWeak),
        is_secret=True,
        repeats="An invitation is good once; after that its operator signs in with the password.",
    ),
)
