"""`/v1/dead-letters`: tasks of all programs that were given up, for platform staff."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from core import errors, tokens
from core.links import Line
from db import dead_letters
from db.dead_letters import DeadLetter
from gateway import auditing, lists
from gateway.app import Call
from web import problem
from web.routing import Route

Number = Annotated[str, Meta(pattern=r"^(\d{1,18})?$")]


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are asked for."""

    cursor: Number = ""
    task: Line | None = None
    with_replayed: bool = False


async def list_all(call: Call) -> web.Response:
    """Dead letters, the newest first; those replayed only if asked for."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await dead_letters.page(
            db,
            before=int(search.cursor) if search.cursor else None,
            limit=search.limit + 1,
            task=search.task,
            with_replayed=search.with_replayed,
        )
    shown = found[: search.limit]
    cursor = str(shown[-1].id) if len(found) > search.limit else None
    return problem.reply(lists.Page(shown, cursor))


async def get(call: Call) -> web.Response:
    """One dead letter."""
    async with call.app.connection() as db:
        return problem.reply(await dead_letters.show(db, _number(call)))


async def replay(call: Call) -> web.Response:
    """Have the task performed again; a letter is replayed once."""
    async with call.app.transaction() as db:
        letter = await dead_letters.replay(db, _number(call))
        await auditing.record(
            call, db, "dead_letter.replay", str(letter.id), after={"task": letter.task}
        )
    return problem.reply(letter, call.route.status)


def _number(call: Call) -> int:
    text = call.params["letter_id"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise errors.DeadLetterNotFound
    return int(text)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/dead-letters",
        handler=list_all,
        name="list_dead_letters",
        summary="List tasks that were given up, the newest first",
        scope=tokens.PLATFORM,
        query=Search,
        reply=lists.Page[DeadLetter],
    ),
    Route(
        method="GET",
        path="/v1/dead-letters/{letter_id}",
        handler=get,
        name="get_dead_letter",
        summary="Read a dead letter",
        scope=tokens.PLATFORM,
        reply=DeadLetter,
        errors=(errors.DeadLetterNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/dead-letters/{letter_id}/replay",
        handler=replay,
        name="replay_dead_letter",
        summary="Have a task that was given up performed again",
        scope=tokens.PLATFORM,
        reply=DeadLetter,
        status=202,
        errors=(errors.DeadLetterNotFound,),
        repeats="A letter is replayed once.",
    ),
)
