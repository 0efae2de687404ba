"""`GET /r/{slug}`: from a slug to a redirect whose click is recorded."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from aiohttp import web

from core import classes, clicks, destinations, errors, linkrules, testclicks
from core.clicks import Pairs, Visit
from core.events import Click
from core.linkrules import RULES, STATIC, Decision, Link
from db import keys
from db.redis import CLICK_VISIT
from redirector import answers, unlock
from redirector.state import State
from redirector.visitors import Visitor
from web import proxies

# Our QR codes say so, that a scan can be told from a click.
SCAN: Final = ("_r.t", "qr")
_OPEN: Final = Decision("redirect", 0)


class Premade(NamedTuple):
    """A click that the API made beforehand: its id and what was said of it."""

    click_id: str
    member_id: str | None


class Ask(NamedTuple):
    """A request for a link; `path` is what stands behind the slug, clean."""

    request: web.BaseRequest
    link: Link
    visitor: Visitor
    path: str
    query: Pairs
    premade: Premade | None = None

    @property
    def is_head(self) -> bool:
        """HEAD gets the same status, without a click id; it is never counted."""
        return self.request.method == "HEAD"


async def redirect(
    state: State, request: web.BaseRequest, slug: str, suffix: str, query: str
) -> web.StreamResponse:
    """Answer a visit of the link with this slug; `suffix` and `query` are raw."""
    # 1. The link.
    link = state.cache.get(slug) or await state.cache.find(slug)
    # 2. The visitor.
    visitor = state.eyes.see(request.headers, request.remote or "")
    pairs = clicks.query_pairs(query) if query else ()
    path = destinations.clean_path(suffix) if suffix else ""
    return await follow(
        state, Ask(request, link, _tested(state, slug, visitor, pairs), path, pairs)
    )


async def follow(state: State, ask: Ask) -> web.StreamResponse:
    """The steps from a link and a visitor on."""
    link = ask.link
    if ask.visitor.hit_class == classes.PREFETCH:
        state.clicks.pending[classes.PREFETCH] += 1
        return answers.refuse_prefetch(state.settings.prefetch_status)
    recorder = state.recorder
    # 3. Which way: what the link and the visitor say, then the cap, which only Redis knows.
    now_ms = time.time_ns() // 1_000_000
    decision, visit = _decide(state, ask, now_ms)
    if link.is_capped and decision.outcome == "redirect":
        has_room = state.caps.has_room if ask.is_head else state.caps.admit
        if not await has_room(link):
            decision = linkrules.closed(link, "cap_reached", now_ms)
    if decision.outcome != "redirect":
        return _instead(ask, decision)
    # 4. The click id and the Location that carries it.
    snapshot = link.snapshot
    if ask.is_head:
        click_id = ""
    elif ask.premade is not None:
        click_id = ask.premade.click_id
    else:
        click_id = recorder.minter.mint(now_ms, snapshot.program_id, link.link_bits)
    if visit is None:
        location = spliced(link, click_id)
    else:
        location = linkrules.location(link, decision, visit, click_id)
    # 5. The click is recorded before the answer leaves.
    if click_id:
        counter = await _counter(state, ask, now_ms)
        await recorder.commit.record(_click(ask, click_id, decision.variant), counter)
        state.clicks.pending[ask.visitor.hit_class] += 1
    # 6. The answer.
    return answers.Redirect(snapshot.redirect_status, location, snapshot.referrer_policy)


def spliced(link: Link, click_id: str) -> bytes:
    """The Location of a static or spliced link."""
    if link.kind == STATIC:
        return link.location_prefix
    return link.location_prefix + click_id.encode() + link.location_suffix


def click_of(link: Link, visitor: Visitor, click_id: str) -> Click:
    """The click of a visitor on a link, without parameters."""
    snapshot = link.snapshot
    is_private = visitor.privacy_signal
    return Click(
        click_id,
        snapshot.link_id,
        snapshot.program_id,
        visitor.hit_class,
        visitor.reasons,
        address=None if is_private else proxies.cut(visitor.address),
        country=None if is_private else visitor.country or None,
        user_agent=visitor.user_agent or None,
        referrer=visitor.referrer or None,
        privacy_signal=is_private,
        member_id=None,
        variant=None,
        parameters=None,
        preminted=False,
    )


def _decide(state: State, ask: Ask, now_ms: int) -> tuple[Decision, Visit | None]:
    """Which way the link leads; static and spliced links lead every visit the same way."""
    link = ask.link
    if link.kind != RULES and not ask.path:
        return _OPEN, None
    visit = state.eyes.visit(
        ask.request,
        ask.visitor,
        link,
        path=ask.path,
        query=ask.query,
        is_unlocked=link.has_password and unlock.is_unlocked(state, ask.request, link),
    )
    return linkrules.decide(link, visit, now_ms), visit


def _tested(state: State, slug: str, visitor: Visitor, pairs: Pairs) -> Visitor:
    """The visitor, as a test when the request carries our signature for this slug."""
    for name, value in pairs:
        if name == testclicks.PARAMETER:
            if testclicks.verify(value, slug, time.time(), state.ring.click):
                return visitor._replace(hit_class=classes.TEST, reasons=("test_signature",))
            break
    return visitor


def _instead(ask: Ask, decision: Decision) -> web.StreamResponse:
    """The answer when the link does not lead to its destination now."""
    link = ask.link
    match decision.outcome:
        case "fallback":
            return answers.Redirect(302, link.fallback, link.snapshot.referrer_policy)
        case "password":
            return unlock.form(link.snapshot.slug, ask.request.rel_url.raw_query_string)
        case "gone" if decision.reason != "not_started":
            raise errors.Gone("The link leads nowhere any more")
        case _:
            raise errors.LinkNotFound


async def _counter(state: State, ask: Ask, now_ms: int) -> str:
    """The live counter of the click: none for a premade one that has been visited before."""
    if ask.premade is not None:
        key = keys.premint(ask.premade.click_id)
        try:
            visited = await state.redis.run(CLICK_VISIT, (key,), (now_ms,))
        except errors.StampgateError as error:
            raise errors.Unavailable("The click cannot be looked up at the moment") from error
        if visited is None or not visited[1]:
            return ""
    return f"{ask.link.snapshot.link_id}:{ask.visitor.hit_class}"


def _click(ask: Ask, click_id: str, variant: str | None) -> Click:
    click = click_of(ask.link, ask.visitor, click_id)
    if not ask.query and variant is None and ask.premade is None:
        return click
    parameters = clicks.parameters(ask.query, privacy_signal=ask.visitor.privacy_signal)
    if SCAN in ask.query:
        parameters = {**(parameters or {}), SCAN[0]: SCAN[1]}
    return click._replace(
        member_id=ask.premade.member_id if ask.premade else None,
        variant=variant,
        parameters=parameters,
        preminted=ask.premade is not None,
    )
