"""The data of a benchmark: one program, a thousand members, and a link of each kind."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from core import ids, keyring, links, tokens
from core.links import LinkConfig
from core.programs import ProgramSettings
from core.settings import Settings
from db import links as stored
from db import members, programs
from db.members import NewMember

MEMBERS: Final = 1_000
TOKEN_TTL_S: Final = 24 * 3600
# By the kind of work that a visit makes; the slug is the kind.
LINKS: Final[dict[str, dict[str, Any]]] = {
    "static": {"destination": "https://www.example.com/welcome?utm_source=stampgate"},
    "splice": {"destination": "https://shop.example.com/deal", "network": "admitad"},
    "rules": {
        "destination": "https://shop.example.com/deal?subid={click_id}",
        "rules": [
            {"when": {"device": ["mobile"]}, "destination": "https://m.example.com/{click_id}"},
            {"when": {"lang": ["hi", "ta"]}, "destination": "https://in.example.com/{click_id}"},
        ],
        "variants": [
            {"name": "a", "weight": 1, "destination": "https://a.example.com/?c={click_id}"},
            {"name": "b", "weight": 3, "destination": "https://b.example.com/?c={click_id}"},
        ],
    },
}


class Seed(NamedTuple):
    """What a load needs to know."""

    program_id: str
    members: list[str]
    token: str


async def sow(settings: Settings) -> Seed:
    """Store everything; the flusher publishes the links when it fills Redis."""
    program_id = new_id("program")
    ring = keyring.parse(Path(settings.keyring_file).read_bytes())
    db = await asyncpg.connect(settings.migration_url)
    try:
        async with db.transaction():
            await programs.add(
                db,
                program_id,
                name="Bench",
                currency="EUR",
                time_zone="Europe/Berlin",
                settings=ProgramSettings(),
            )
            people = [
                (new_id("member"), NewMember(external_id=f"bench-{number}"))
                for number in range(MEMBERS)
            ]
            await members.add_many(db, ring, program_id, people)
            for kind in LINKS:
                draft = stored.Draft(new_id("link"), config(kind, kind), None)
                await stored.add(db, program_id, draft, lambda: "")
    finally:
        await db.close()
    own = token(ring, program_id, "awards:write")
    return Seed(program_id, [member_id for member_id, _ in people], own)


def config(kind: str, slug: str) -> LinkConfig:
    """A link of that kind, as the API would have checked it."""
    return links.validate(msgspec.convert({**LINKS[kind], "slug": slug}, LinkConfig))


def new_id(kind: ids.Kind) -> str:
    """A fresh id."""
    return ids.new(kind, _now_ms(), os.urandom(ids.ENTROPY_BYTES))


def token(ring: keyring.KeyRing, program_id: str, scope: str) -> str:
    """A token of an app, without a limit."""
    return tokens.issue(
        ring,
        program_id=program_id,
        subject="app:bench",
        scopes=[scope],
        now_s=_now_ms() // 1000,
        ttl_s=TOKEN_TTL_S,
        rate_per_minute=0,
        token_id=new_id("token"),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
