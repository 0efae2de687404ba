"""`GET /r/{slug}`: from a slug to a redirect whose click is recorded."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from aiohttp import web

from core import classes, clicks, destinations, errors, linkrules, testclicks
from core.clicks import Pairs
from core.events import Click
from core.linkrules import RULES, STATIC, Decision, Link
from db import keys
from db.redis import CLICK_VISIT
from redirector import answers, unlock
from redirector.state import State
from redirector.visitors import Visitor, cut

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
    visitor = state.eyes.see(request)
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
    # 3. Which way, as far as the link and the visitor say it.
    now_ms = time.time_ns() // 1_000_000
    decision, visit = _OPEN, _NOBODY
    if link.kind == RULES or ask.path:
        is_unlocked = link.has_password and unlock.is_unlocked(state, ask.request, link)
        visit = state.eyes.visit(
            ask.request,
            ask.visitor,
            link,
            path=ask.path,
            query=ask.query,
            is_unlocked=is_unlocked,
        )
        decision = linkrules.decide(link, visit, now_ms)
    # 4. The cap, which only Redis knows.
    if link.is_capped and decision.outcome == "redirect":
        has_room = state.caps.has_room if ask.is_head else state.caps.admit
        if not await has_room(link):
            decision = linkrules.closed(link, "cap_reached", now_ms)
    if decision.outcome != "redirect":
        return _instead(ask, decision)
    # 5. The click id and the Location that carries it.
    snapshot = link.snapshot
    if ask.is_head:
        click_id = ""
    elif ask.premade is not None:
        click_id = ask.premade.click_id
    else:
        click_id = recorder.minter.mint(now_ms, snapshot.program_id, link.link_bits)
    if decision is not _OPEN:
        location = linkrules.location(link, decision, visit, click_id)
    elif link.kind == STATIC:
        location = link.location_prefix
    else:
        location = link.location_prefix + click_id.encode() + link.location_suffix
    # 6. The click is recorded before the answer leaves.
    if click_id:
        hit_class = ask.visitor.hit_class
        counter = await _counter(state, ask, now_ms)
        await recorder.commit.record(_click(ask, click_id, decision.variant), counter)
        state.clicks.pending[hit_class] += 1
    # 7. The answer.
    return answers.Redirect(snapshot.redirect_status, location, snapshot.referrer_policy)


_NOBODY: Final = clicks.Visit()


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
    visitor, snapshot = ask.visitor, ask.link.snapshot
    is_private = visitor.privacy_signal
    parameters = clicks.parameters(ask.query, privacy_signal=is_private) if ask.query else None
    if SCAN in ask.query:
        parameters = {**(parameters or {}), SCAN[0]: SCAN[1]}
    return Click(
        click_id=click_id,
        link_id=snapshot.link_id,
        program_id=snapshot.program_id,
        hit_class=visitor.hit_class,
        reasons=visitor.reasons,
        address=None if is_private else cut(visitor.address),
        country=None if is_private else visitor.country or None,
        user_agent=visitor.user_agent or None,
        referrer=visitor.referrer or None,
        privacy_signal=is_private,
        member_id=ask.premade.member_id if ask.premade else None,
        variant=variant,
        parameters=parameters,
        preminted=ask.premade is not None,
    )
