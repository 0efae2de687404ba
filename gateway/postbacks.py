"""`/postback/{network}/{token}`: what affiliate networks call, and what became of their calls.

A call is stored as it came, before anybody reads it, and answered as the network expects. It is
refused only without the right token, address or signature: networks give up on what is refused.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors
from core.conversions import Verdict
from core.networks import admits, is_token
from core.providers.affiliate.report import Postback, Problem, Report
from db import intake, networks, postbacks
from db.bookings import Act
from db.pg import Db
from db.postbacks import New
from gateway import auditing, lists
from gateway.app import Call, read
from gateway.lookups import moment
from gateway.receiving import Account
from web import problem
from web.routing import Handler, Route

log: Final = logging.getLogger(__name__)

BODY_MAX: Final = 512 << 10
#: As much of a body is listed; one call is shown whole.
LISTED_MAX: Final = 2_000
HEADERS: Final = frozenset({"content-type", "user-agent"})
SIGNING: Final = ("sign", "sig", "hmac", "digest")


class Told(msgspec.Struct, frozen=True):
    """What became of a call, for those who ask with `Accept: application/json` or `?debug=1`."""

    id: str
    verdict: str
    detail: str | None
    conversion: str | None


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls are asked for."""

    verdict: Annotated[str, Meta(max_length=40)] | None = None


class DryRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `dry_run=1` nothing is changed."""

    dry_run: Literal["0", "1"] = "0"


class ShownPostback(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it came in; no verdict means that nobody has read it yet."""

    id: str
    network: str
    received_at: dt.datetime
    method: str
    query: str
    headers: dict[str, str]
    body: str
    verdict: str | None
    detail: str | None
    conversion: str | None
    processed_at: dt.datetime | None


async def receive(call: Call) -> web.Response:
    """Store the call, and answer what the network understands."""
    account = await call.app.receiving.account(call.params["network_id"])
    if account is None:
        raise errors.NetworkNotFound
    verdict = _door(call, account)
    if verdict is not None:
        return await _refuse(call, account, verdict, Postback(method=call.request.method))
    said = _said(call, account, await read(call))
    provider = account.provider
    found = None if provider is None else provider.read_postback(said)
    if isinstance(found, Problem) and found.code == "bad_signature":
        return await _refuse(call, account, "bad_signature", said)
    is_off = account.network.state == "disabled"
    new = _new(call, account, said, "disabled" if is_off else None)
    await call.app.receiving.store(new)
    if _wants_json(call):
        return problem.reply(await _told(call, new))
    report = found if isinstance(found, Report) else None
    reply = "OK" if provider is None else provider.reply(report)
    return web.Response(text=reply, content_type="text/plain")


async def list_all(call: Call) -> web.Response:
    """The calls of a network, the newest first."""
    search = problem.decode_query(Search, call.query)
    program_id, network_id = call.principal.program_id, call.params["network_id"]
    async with call.app.connection() as db:
        await networks.get(db, program_id, network_id)
        found = await postbacks.page(
            db,
            program_id,
            network_id,
            before=search.after("postback"),
            limit=search.limit + 1,
            verdict=search.verdict,
        )
    listed = [shown(one, LISTED_MAX) for one in found]
    return problem.reply(lists.page(listed, search.limit))


async def get(call: Call) -> web.Response:
    """One call."""
    async with call.app.connection() as db:
        found = await postbacks.get(db, call.principal.program_id, call.params["postback_id"])
    return problem.reply(shown(found))


async def replay(call: Call) -> web.Response:
    """Read the call once more, as the network is set up now."""
    is_dry = problem.decode_query(DryRun, call.query).dry_run == "1"
    program_id, postback_id = call.principal.program_id, call.params["postback_id"]

    async def work(db: Db) -> Verdict:
        verdict = await intake.replay(db, call.app.ring, program_id, postback_id, act(call))
        if not is_dry:
            after = {"verdict": verdict.word, "conversion": verdict.conversion_id}
            await auditing.record(call, db, "postback.replay", postback_id, after=after)
        return verdict

    verdict = await tried(call, work) if is_dry else await _done(call, work)
    return problem.reply(told(postback_id, verdict))


async def tried(call: Call, work: intake.Work) -> Verdict:
    """What `work` comes to, without its effects."""
    async with call.app.connection("write") as db:
        transaction = db.transaction()
        await transaction.start()
        try:
            return await work(db)
        finally:
            await transaction.rollback()


def act(call: Call, reason: str | None = None) -> Act:
    """The caller, now."""
    patience = dt.timedelta(days=call.app.settings.click_patience_days)
    by = call.principal.subject or "network"
    return Act(by, moment(call.app.now_ms()), patience, reason)


def told(postback_id: str, verdict: Verdict) -> Told:
    """A verdict as it is answered."""
    return Told(postback_id, verdict.word, verdict.detail or None, verdict.conversion_id)


def shown(one: postbacks.Call, body_max: int = BODY_MAX) -> ShownPostback:
    """A call as it is shown, with so many bytes of its body."""
    return ShownPostback(
        id=one.id,
        network=one.network_id,
        received_at=one.received_at,
        method=one.said.method,
        query=one.said.query,
        headers=dict(one.said.headers),
        body=one.said.body[:body_max].decode("utf-8", "replace"),
        verdict=one.verdict,
        detail=one.detail,
        conversion=one.conversion_id,
        processed_at=one.processed_at,
    )


async def _done(call: Call, work: intake.Work) -> Verdict:
    async with call.app.transaction() as db:
        return await work(db)


def _door(call: Call, account: Account) -> str | None:
    """Why the call is not let in."""
    network, now = account.network, moment(call.app.now_ms())
    until = network.previous_token_until
    previous = network.previous_token_hash if until is not None and now < until else None
    if not is_token(call.params["token"], (network.token_hash, previous)):
        return "bad_token"
    if not admits(network.rules.allowed_networks, call.address):
        return "ip_denied"
    return None


async def _refuse(call: Call, account: Account, verdict: str, said: Postback) -> web.Response:
    if call.app.receiving.may_store_refused(account.network.id):
        await call.app.receiving.store(_new(call, account, said, verdict))
    raise errors.Forbidden


def _said(call: Call, account: Account, body: bytes) -> Postback:
    query = call.request.raw_path.partition("?")[2]
    signature = account.network.config.get("signature")
    own = str(signature.get("name", "")).lower() if isinstance(signature, dict) else ""
    return Postback(
        method=call.request.method,
        query=_storable(query),
        headers={
            name.lower(): _storable(value)
            for name, value in call.request.headers.items()
            if name.lower() in HEADERS | {own} or any(word in name.lower() for word in SIGNING)
        },
        body=body,
    )


def _storable(text: str) -> str:
    """Without what PostgreSQL cannot keep; bytes that are no UTF-8 come as surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")


def _new(call: Call, account: Account, said: Postback, verdict: str | None) -> New:
    network = account.network
    return New(
        id=call.app.new_id("postback"),
        program_id=network.program_id,
        network_id=network.id,
        received_at=moment(call.app.now_ms()),
        method=said.method,
        query=said.query,
        headers=postbacks.headers_json(dict(said.headers)),
        body=said.body,
        verdict=verdict,
        detail=None,
    )


def _wants_json(call: Call) -> bool:
    accepted = call.request.headers.get("Accept", "")
    return "application/json" in accepted or call.query.get("debug") == "1"


async def _told(call: Call, new: New) -> Told:
    """Read it at once; a worker that was faster has its verdict. What cannot be taken now waits for
    the workers: it is stored, so the network has nothing to send again.
    """
    if new.verdict is None:
        try:
            async with call.app.transaction() as db:
                await intake.process(
                    db, call.app.ring, new.program_id, new.network_id, act(call), only=new.id
                )
        except Exception:
            log.exception("a call of %s was not read at once", new.network_id)
    async with call.app.connection() as db:
        found = await postbacks.get(db, new.program_id, new.id)
    return Told(found.id, found.verdict or "received", found.detail, found.conversion_id)


def called_at(prefix: str, handler: Handler, name: str, summary: str) -> tuple[Route, ...]:
    """The routes by which a network calls with its account's id and token behind `prefix`."""
    return tuple(
        Route(
            method=method,
            path=f"{prefix}/{{network_id}}/{{token}}",
            handler=handler,
            name=f"receive_{name}_{method.lower()}",
            summary=f"{summary} when something happened to a transaction",
            body=str if method == "POST" else None,
            body_type="*/*",
            reply=str,
            reply_type="text/plain",
            errors=(
                errors.Forbidden,
                errors.NetworkNotFound,
                errors.OverCapacity,
                errors.Unavailable,
            ),
            body_limit=BODY_MAX,
            is_limited=False,
            repeats="A call that says what is known changes nothing." if method == "POST" else "",
        )
        for method in ("GET", "POST")
    )


_SEEN: Final = (errors.PostbackNotFound,)

ROUTES: tuple[Route, ...] = (
    *called_at("/postback", receive, "postback", "What an affiliate network calls"),
    Route(
        method="GET",
        path="/v1/networks/{network_id}/postbacks",
        handler=list_all,
        name="list_network_postbacks",
        summary="List a network's calls as they came in, the newest first",
        scope="conversions:read",
        query=Search,
        reply=lists.Page[ShownPostback],
        errors=(errors.NetworkNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/postbacks/{postback_id}",
        handler=get,
        name="get_postback",
        summary="Read a network's call",
        scope="conversions:read",
        reply=ShownPostback,
        errors=_SEEN,
    ),
    Route(
        method="POST",
        path="/v1/postbacks/{postback_id}/replay",
        handler=replay,
        name="replay_postback",
        summary="Read a call once more, as the network is set up now",
        scope="conversions:write",
        query=DryRun,
        reply=Told,
        errors=_SEEN,
        repeats="A call that says what is known changes nothing.",
    ),
)
