"""The demo of the local run: a program, a merchant, three links, ten members, and a token."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, ids, keyring, links, tokens
from core.links import LinkConfig
from core.merchants import MerchantConfig
from core.programs import ProgramSettings
from core.settings import Settings
from db import links as stored
from db import members, merchants, programs, redis
from db.members import NewMember
from db.pg import Db

# The demo keeps its ids from one start to the next, so they hang on names and not on the clock.
BORN_MS: Final = 1_767_225_600_000
TOKEN_TTL_S: Final = 48 * 3600
MEMBERS: Final = 10
AFFILIATE_SLUG: Final = "demo"
LINKS: Final[dict[str, LinkConfig]] = {
    "affiliate": LinkConfig(
        slug=AFFILIATE_SLUG,
        title="A shop through an affiliate network",
        destination="https://shop.example.com/deal?utm_source=stampgate",
        network="admitad",
    ),
    "static": LinkConfig(
        slug="home", title="A plain link", destination="https://www.example.com/welcome"
    ),
    "splice": LinkConfig(
        slug="partner",
        title="A partner that takes the click id in its path",
        destination="https://partner.example.com/in/{click_id}?source={slug}",
    ),
}


class Demo(NamedTuple):
    """How to reach the demo."""

    token: str
    program: str
    slug: str
    member: str


async def seed(settings: Settings) -> Demo:
    """Make what is not there yet, publish the links, and issue a token."""
    program_id = _id("program", "demo")
    ring = keyring.parse(Path(settings.keyring_file).read_bytes())
    db = await asyncpg.connect(settings.migration_url)
    connection = await redis.Connection.open(settings.redis_url)
    try:
        async with db.transaction():
            await _program(db, program_id)
            made = [await _link(db, program_id, name) for name in LINKS]
            members_made = [
                await members.upsert(
                    db,
                    ring,
                    program_id,
                    _id("member", f"demo-{number}"),
                    NewMember(external_id=f"demo-{number}", name=f"Member {number}"),
                )
                for number in range(1, MEMBERS + 1)
            ]
        await stored.publish(connection, map(stored.publication, made))
    finally:
        await connection.close()
        await db.close()
    return Demo(_token(ring, program_id), program_id, AFFILIATE_SLUG, members_made[0].id)


async def _program(db: Db, program_id: str) -> None:
    try:
        await programs.get(db, program_id)
    except errors.ProgramNotFound:
        await programs.add(
            db,
            program_id,
            name="Demo",
            currency="EUR",
            time_zone="Europe/Berlin",
            settings=ProgramSettings(),
        )
        shop = MerchantConfig(name="Example Shop", external_id="demo")
        await merchants.add(db, program_id, _id("merchant", "demo"), shop)


async def _link(db: Db, program_id: str, name: str) -> stored.Link:
    present = await stored.lock_by_external_id(db, program_id, f"demo-{name}")
    if present is not None:
        return present
    config = msgspec.structs.replace(
        LINKS[name], external_id=f"demo-{name}", merchant_id=_id("merchant", "demo")
    )
    draft = stored.Draft(_id("link", f"demo-{name}"), links.validate(config), None)
    return await stored.add(db, program_id, draft, lambda: "")


def _token(ring: keyring.KeyRing, program_id: str) -> str:
    return tokens.issue(
        ring,
        program_id=program_id,
        subject="app:demo",
        scopes=[scope for scope in tokens.SCOPES if scope != tokens.PLATFORM],
        now_s=int(time.time()),
        ttl_s=TOKEN_TTL_S,
        rate_per_minute=0,
        token_id=ids.new("token", time.time_ns() // 1_000_000, _entropy(str(time.time_ns()))),
    )


def _id(kind: ids.Kind, name: str) -> str:
    return ids.new(kind, BORN_MS, _entropy(f"{kind} {name}"))


def _entropy(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=ids.ENTROPY_BYTES).digest()
