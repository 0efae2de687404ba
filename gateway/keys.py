"""`/v1/api-keys`: the keys with which a program's own apps call."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from core import apikeys, errors, tokens
from db import api_keys, revocations
from db.api_keys import ApiKey
from db.pg import Db
from gateway import answers, auditing, credentials, lists, patches
from gateway.app import Call, read, read_as
from web import problem
from web.routing import Route

Name = Annotated[str, Meta(min_length=1, max_length=255)]
if TYPE_CHECKING:
    Scope = str
else:
    # What only a person's session or the platform has is no scope of a key.
    Scope = Literal[tuple(scope for scope in tokens.SCOPES if scope != tokens.PLATFORM)]
Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=len(tokens.SCOPES))]
Rate = Annotated[int, Meta(ge=0, le=1_000_000)]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Overlap = Annotated[int, Meta(ge=0, le=7 * 24)]
USAGE_DAYS: Final = 30
USAGE_DAYS_MAX: Final = 400
EXPIRY_MAX: Final = dt.timedelta(days=10 * 366)


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key shall be good for. Without a rate of its own it has the default; 0 is no limit."""

    name: Name
    scopes: Scopes
    rate_per_minute: Rate | None = None
    expires_at: Moment | None = None


class ApiKeyWithSecret(ApiKey, frozen=True, kw_only=True):
    """A key, and what to send as such, which is not shown again."""

    key: str


class KeyRotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what was sent until now stays good too."""

    overlap_hours: Overlap = 24


class UsageWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first and the last UTC day that are asked for: the last 30 days, if none is given."""

    since: dt.date | None = msgspec.field(name="from", default=None)
    until: dt.date | None = msgspec.field(name="to", default=None)


class Usage(msgspec.Struct, frozen=True):
    """The days on which a key was used."""

    data: list[api_keys.Day]


ApiKeyPatch = patches.patch_of(NewApiKey)
_new = msgspec.json.Decoder(NewApiKey)
_patch = msgspec.json.Decoder(ApiKeyPatch)
_rotation = msgspec.json.Decoder(KeyRotation)


async def create(call: Call) -> web.Response:
    """Store a key; this answer alone has all of it."""
    body = await read(call)
    new = problem.decode(_new, body)
    program_id = call.principal.program_id
    _check_grant(call, new.scopes, new.rate_per_minute)
    _check_expiry(call, new.expires_at)

    async def work(db: Db) -> ApiKeyWithSecret:
        text = _new_key()
        draft = api_keys.Draft(
            id=call.app.new_id("key"),
            parts=apikeys.parse(text),
            name=new.name,
            scopes=_sorted(new.scopes),
            rate_per_minute=new.rate_per_minute,
            expires_at=new.expires_at,
            created_by=call.principal.subject,
        )
        stored = await api_keys.add(db, program_id, draft)
        await auditing.record(call, db, "api_key.create", stored.id, after=stored)
        return _with_secret(stored, text)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """The program's keys, oldest first; revoked ones too."""
    window = problem.decode_query(lists.Window, call.query)
    program_id, after = call.principal.program_id, window.after("key")
    async with call.app.connection() as db:
        found = await api_keys.page(db, program_id, after=after, limit=window.limit + 1)
    return problem.reply(lists.page(found, window.limit))


async def get(call: Call) -> web.Response:
    """One key, without its secret."""
    async with call.app.connection() as db:
        return problem.reply(await api_keys.get(db, *_named(call)))


async def change(call: Call) -> web.Response:
    """Change the given fields; effective at once, in all processes."""
    wanted = patches.changes(await read_as(call, _patch))
    program_id, key_id = _named(call)
    async with call.app.transaction() as db:
        present = await _lock(db, program_id, key_id)
        _check_grant(call, wanted.get("scopes", present.scopes), wanted.get("rate_per_minute"))
        _check_expiry(call, wanted.get("expires_at"))
        if "scopes" in wanted:
            wanted["scopes"] = _sorted(wanted["scopes"])
        changed = await api_keys.change(db, program_id, msgspec.structs.replace(present, **wanted))
        await _note_change(call, db, key_id)
        await auditing.record(call, db, "api_key.change", key_id, present, changed)
    await _announce(call, key_id)
    return problem.reply(changed)


async def revoke(call: Call) -> web.Response:
    """Revoke a key for ever."""
    program_id, key_id = _named(call)
    async with call.app.transaction() as db:
        await api_keys.revoke(db, program_id, key_id)
        await _note_change(call, db, key_id)
        await auditing.record(call, db, "api_key.revoke", key_id)
    await _announce(call, key_id)
    return web.Response(status=204)


async def rotate(call: Call) -> web.Response:
    """Give a key a new secret; for a while, the present one stays good."""
    body = await read(call)
    rotation = problem.decode(_rotation, body or b"{}")
    program_id, key_id = _named(call)

    async def work(db: Db) -> ApiKeyWithSecret:
        present = await _lock(db, program_id, key_id)
        # Else whoever may rotate a key could take it over, with all that it may do.
        _check_grant(call, present.scopes, None)
        text = _new_key()
        rotated = await api_keys.rotate(
            db, program_id, key_id, apikeys.parse(text), rotation.overlap_hours
        )
        await _note_change(call, db, key_id)
        await auditing.record(call, db, "api_key.rotate", key_id, present, rotated)
        return _with_secret(rotated, text)

    answer = await answers.once(call, body, work)
    await _announce(call, key_id)
    return answer


async def usage(call: Call) -> web.Response:
    """How many requests a key made, by day; what was counted a moment ago may be missing."""
    window = problem.decode_query(UsageWindow, call.query)
    last = window.until or dt.datetime.fromtimestamp(call.app.now_ms() / 1000, dt.UTC).date()
    first = window.since or max(last, dt.date(2000, 1, 1)) - dt.timedelta(days=USAGE_DAYS - 1)
    if not 0 <= (last - first).days < USAGE_DAYS_MAX:
        detail = f"from and to must be in order, and span at most {USAGE_DAYS_MAX} days."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "parameter": "from"}])
    async with call.app.connection() as db:
        key = await api_keys.get(db, *_named(call))
        days = await api_keys.usage(db, call.principal.program_id, key.id, first=first, last=last)
    return problem.reply(Usage(days))


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["key_id"]


async def _lock(db: Db, program_id: str, key_id: str) -> ApiKey:
    """The key, which must not be revoked: ApiKeyRevoked."""
    key = await api_keys.lock(db, program_id, key_id)
    if key.state == "revoked":
        raise errors.ApiKeyRevoked
    return key


def _new_key() -> str:
    return apikeys.new(os.urandom(apikeys.ENTROPY_BYTES))


def _with_secret(key: ApiKey, text: str) -> ApiKeyWithSecret:
    return ApiKeyWithSecret(**msgspec.structs.asdict(key), key=text)


def _sorted(scopes: list[str]) -> list[str]:
    return [scope for scope in tokens.SCOPES if scope in scopes]


def _check_grant(call: Call, scopes: list[str], rate_per_minute: int | None) -> None:
    """ScopeNotYours for what the caller may not do; Forbidden for more than the usual rate."""
    caller = call.principal
    missing = [scope for scope in scopes if not caller.may(scope)]
    if missing:
        raise errors.ScopeNotYours(f"You lack the scope {', '.join(missing)} yourself.")
    if rate_per_minute is None or caller.is_platform:
        return
    usual = call.app.settings.rate_caller_per_minute
    if usual and not 0 < rate_per_minute <= usual:
        raise errors.Forbidden(f"More than {usual} requests a minute are the platform's to give.")


def _check_expiry(call: Call, expires_at: dt.datetime | None) -> None:
    now = dt.datetime.fromtimestamp(call.app.now_ms() / 1000, dt.UTC)
    if expires_at is not None and not now < expires_at <= now + EXPIRY_MAX:
        detail = "expires_at must lie in the future, at most ten years from now."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/expires_at"}])


async def _note_change(call: Call, db: Db, key_id: str) -> None:
    """Have every process find the change in PostgreSQL, should no announcement reach it."""
    await revocations.add(db, [key_id], _until_s(call))


async def _announce(call: Call, key_id: str) -> None:
    """Have every process read the key again; this one at once."""
    await call.app.revocations.announce([key_id], _until_s(call))


def _until_s(call: Call) -> int:
    """By then no process remembers what a key was before."""
    return call.app.now_ms() // 1000 + 2 * int(credentials.FRESH_S)


_REFUSALS: Final = (errors.ScopeNotYours, errors.Forbidden)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/api-keys",
        handler=create,
        name="create_api_key",
        summary="Make an API key; the only answer that has all of it",
        scope="keys:write",
        body=NewApiKey,
        reply=ApiKeyWithSecret,
        status=201,
        errors=(errors.ProgramNotFound, *_REFUSALS),
        is_idempotent=True,
        is_key_optional=True,
        is_secret=True,
    ),
    Route(
        method="GET",
        path="/v1/api-keys",
        handler=list_all,
        name="list_api_keys",
        summary="List API keys, oldest first",
        scope="keys:read",
        query=lists.Window,
        reply=lists.Page[ApiKey],
    ),
    Route(
        method="GET",
        path="/v1/api-keys/{key_id}",
        handler=get,
        name="get_api_key",
        summary="Read an API key, without its secret",
        scope="keys:read",
        reply=ApiKey,
        errors=(errors.ApiKeyNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/api-keys/{key_id}",
        handler=change,
        name="change_api_key",
        summary="Change the given fields of an API key",
        scope="keys:write",
        body=ApiKeyPatch,
        reply=ApiKey,
        errors=(errors.ApiKeyNotFound, errors.ApiKeyRevoked, *_REFUSALS),
    ),
    Route(
        method="DELETE",
        path="/v1/api-keys/{key_id}",
        handler=revoke,
        name="revoke_api_key",
        summary="Revoke an API key for ever",
        scope="keys:write",
        status=204,
        errors=(errors.ApiKeyNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/api-keys/{key_id}/rotate",
        handler=rotate,
        name="rotate_api_key",
        summary="Give an API key a new secret; the present one stays good for a while",
        scope="keys:write",
        body=KeyRotation,
        reply=ApiKeyWithSecret,
        errors=(errors.ApiKeyNotFound, errors.ApiKeyRevoked, *_REFUSALS),
        is_idempotent=True,
        is_key_optional=True,
        is_secret=True,
    ),
    Route(
        method="GET",
        path="/v1/api-keys/{key_id}/usage",
        handler=usage,
        name="get_api_key_usage",
        summary="How many requests an API key made, by day",
        scope="keys:read",
        query=UsageWindow,
        reply=Usage,
        errors=(errors.ApiKeyNotFound,),
    ),
)
