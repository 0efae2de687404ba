"""`/v1/templates`: what messages to members and operators say, in a program's own words."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, templates
from core.mail import mailbox
from core.templates import Channel, Texts
from core.texts import builtin
from db import notifications
from db import templates as stored
from db.pg import Db
from db.templates import Own
from gateway import answers, auditing, lists
from gateway.app import Call, read, read_as
from web import problem
from web.routing import Route

# A test may go to a mail address or an E.164 number.
Address = Annotated[str, Meta(min_length=3, max_length=254)]

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """Texts in one language: the program's own, or the built-in ones that they replace."""

    name: str
    channel: Channel
    language: str
    is_own: bool
    subject: str
    text: str
    html: str
    variables: list[str]
    required: list[str]
    updated_at: dt.datetime | None


class TestSend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a test goes; its variables have values of ours."""

    to: Address


class Queued(msgspec.Struct, frozen=True):
    """The notification that was made."""

    notification_id: str


Key = tuple[str, Channel, str]
_texts = msgspec.json.Decoder(Texts)
_test = msgspec.json.Decoder(TestSend)


async def list_all(call: Call) -> web.Response:
    """All templates in all languages, as this program's messages have them."""
    async with call.app.connection() as db:
        own = await stored.all_own(db, call.principal.program_id)
    keys = sorted({*builtin.TEXTS, *(key for key in own if key[0] in templates.KINDS)})
    return problem.reply(lists.Page([_shown(key, own.get(key)) for key in keys], None))


async def get(call: Call) -> web.Response:
    """One template in one language."""
    key = _named(call)
    async with call.app.connection() as db:
        own = await stored.find(db, call.principal.program_id, *key)
    return problem.reply(_shown(key, own))


async def put(call: Call) -> web.Response:
    """Replace the texts of a template in one language by the program's own."""
    name, channel, language = key = _named(call)
    texts = await read_as(call, _texts)
    templates.check(name, channel, texts)
    program_id = call.principal.program_id
    async with call.app.transaction() as db:
        before = await stored.find(db, program_id, *key)
        own = await stored.put(db, program_id, name, channel, language, texts)
        await auditing.record(
            call, db, "template.put", "/".join(key), before and before.texts, own.texts
        )
    return problem.reply(_shown(key, own))


async def delete(call: Call) -> web.Response:
    """Go back to the built-in texts."""
    key = _named(call)
    program_id = call.principal.program_id
    async with call.app.transaction() as db:
        before = await stored.find(db, program_id, *key)
        await stored.delete(db, program_id, *key)
        await auditing.record(call, db, "template.delete", "/".join(key), before and before.texts)
    return web.Response(status=204)


async def test_send(call: Call) -> web.Response:
    """Send the template, marked as a test, with values of ours for its variables."""
    name, channel, language = key = _named(call)
    body = await read(call)
    wanted = problem.decode(_test, body)
    _check_address(channel, wanted.to)
    program_id = call.principal.program_id

    async def work(db: Db) -> Queued:
        _shown(key, await stored.find(db, program_id, *key))
        await notifications.check_tests(db, program_id)
        new = notifications.New(
            program_id=program_id,
            recipient_kind="test",
            recipient_id=call.principal.subject,
            channel=channel,
            address=wanted.to,
            template=name,
            language=language,
            variables=templates.KINDS[name].samples,
            dedupe_key=call.app.new_id("notification"),
        )
        added = await notifications.add(db, call.app.ring, new)
        assert added is not None
        await auditing.record(call, db, "template.test", "/".join(key))
        return Queued(added)

    return await answers.once(call, body, work)


def _named(call: Call) -> Key:
    """Which template the path names; TemplateNotFound when there can be none."""
    name, channel, language = (call.params[part] for part in ("name", "channel", "language"))
    kind = templates.KINDS.get(name)
    if kind is None or not _LANGUAGE.fullmatch(language):
        raise errors.TemplateNotFound
    for known in kind.channels:
        if known == channel:
            return name, known, language
    raise errors.TemplateNotFound


def _shown(key: Key, own: Own | None) -> Template:
    """The template as it is used; TemplateNotFound when there is none in this language."""
    texts = own.texts if own is not None else builtin.TEXTS.get(key)
    if texts is None:
        raise errors.TemplateNotFound
    name, channel, language = key
    kind = templates.KINDS[name]
    return Template(
        name=name,
        channel=channel,
        language=language,
        is_own=own is not None,
        subject=texts.subject,
        text=texts.text,
        html=texts.html,
        variables=sorted(kind.variables),
        required=sorted(kind.required),
        updated_at=None if own is None else own.updated_at,
    )


def _check_address(channel: Channel, address: str) -> None:
    """InvalidRequest for what no message can be sent to."""
    detail = "No message goes there: this is no E.164 number."
    if channel == "push":
        detail = "A push goes to a device, which has no address that could be typed."
    if channel == "email":
        try:
            mailbox(address)
        except errors.BadAddress as error:
            detail = f"No message goes there: {error}."
        else:
            return
    elif channel != "push" and _NUMBER.fullmatch(address):
        return
    raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/to"}])


PATH: Final = "/v1/templates/{name}/{channel}/{language}"

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/templates",
        handler=list_all,
        name="list_templates",
        summary="List all templates in all languages",
        scope="programs:read",
        reply=lists.Page[Template],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_template",
        summary="Read a template in one language",
        scope="programs:read",
        reply=Template,
        errors=(errors.TemplateNotFound,),
    ),
    Route(
        method="PUT",
        path=PATH,
        handler=put,
        name="put_template",
        summary="Replace a template's texts in one language by the program's own",
        scope="programs:write",
        body=Texts,
        reply=Template,
        errors=(errors.TemplateNotFound, errors.InvalidTemplate, errors.ProgramNotFound),
    ),
    Route(
        method="DELETE",
        path=PATH,
        handler=delete,
        name="delete_template",
        summary="Go back to the built-in texts",
        scope="programs:write",
        status=204,
        errors=(errors.TemplateNotFound,),
    ),
    Route(
        method="POST",
        path=f"{PATH}/test-send",
        handler=test_send,
        name="test_template",
        summary="Send a template, marked as a test, to an address",
        scope="programs:write",
        body=TestSend,
        reply=Queued,
        status=202,
        errors=(errors.TemplateNotFound, errors.ProgramNotFound),
        is_idempotent=True,
        is_key_optional=True,
    ),
)
