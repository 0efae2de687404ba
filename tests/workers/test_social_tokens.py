"""New tokens for linked members, from a provider that replaces its refresh tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest

from core import ids, keyring
from core.programs import ProgramSettings
from core.providers.social import builtin
from core.providers.social.flow import Profile, SocialProvider, Tokens
from db import identities, members, pg, programs
from db.members import NewMember
from db.sign_ins import Proof
from deploy.local.postgres import DatabaseUrls
from tests.providers import server
from tests.providers.server import Fault, Grant, Person
from tests.providers.spotify import Spotify
from web.outbound import Outbound
from workers import social_tokens

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
NOW_MS = 1_768_478_400_000
ENTROPY = bytes(ids.ENTROPY_BYTES)
PROGRAM = ids.new("program", NOW_MS, ENTROPY)
MEMBER = ids.new("member", NOW_MS, ENTROPY)
IDENTITY = ids.new("identity", NOW_MS, ENTROPY)


class Setup(NamedTuple):
    pool: pg.Pool
    spotify: Spotify
    outbound: Outbound
    providers: dict[str, SocialProvider]

    async def refresh(self) -> Tokens | None:
        return await social_tokens.refresh(
            self.pool, RING, self.outbound.send, self.providers, IDENTITY
        )

    async def kept(self) -> str | None:
        """The refresh token that is stored."""
        async with self.pool.acquire() as db:
            lease = await identities.lease(db, RING, IDENTITY)
            if lease is None:
                return None
            await identities.end_lease(db, RING, lease, refresh_token=None, is_replaced=False)
        return lease.refresh_token


@pytest.fixture
async def setup(database: DatabaseUrls) -> AsyncIterator[Setup]:
    """A member whose refresh token the provider takes."""
    async with (
        server.running(Spotify) as spotify,
        asyncpg.create_pool(database.app, min_size=0, max_size=4) as pool,
    ):
        grant = Grant(Person(), "", "", "", "", 0)
        token = spotify.keep(spotify.refresh_tokens, grant)
        async with pool.acquire() as db:
            await programs.add(
                db,
                PROGRAM,
                name="Tea",
                currency="INR",
                time_zone="UTC",
                settings=ProgramSettings(),
            )
            await members.add(db, RING, PROGRAM, MEMBER, NewMember())
            proof = Proof(
                provider="spotify",
                program_id=PROGRAM,
                challenge="",
                profile=Profile(subject="1"),
                refresh_token=token,
            )
            await identities.link(db, RING, proof, identity_id=IDENTITY, member_id=MEMBER)
        outbound = Outbound(allow="127.0.0.1")
        yield Setup(pool, spotify, outbound, builtin.make({"spotify": spotify.config()}))
        await outbound.close()


async def test_new_tokens_are_had_and_the_new_refresh_token_is_kept(setup: Setup) -> None:
    first = await setup.kept()
    tokens = await setup.refresh()
    assert tokens is not None
    assert tokens.access_token in setup.spotify.access_tokens
    assert await setup.kept() == tokens.refresh_token != first
    assert await setup.refresh() is not None


async def test_a_refresh_token_that_is_not_replaced_is_kept(setup: Setup) -> None:
    setup.spotify.is_rotating = False
    first = await setup.kept()
    assert await setup.refresh() is not None
    assert await setup.kept() == first


async def test_while_one_asks_nobody_else_does(setup: Setup) -> None:
    slow = Fault(200, b'{"access_token": "a", "refresh_token": "b"}', is_hanging=True)
    setup.spotify.faults[setup.spotify.token_path] = [slow]
    first = asyncio.create_task(setup.refresh())
    await setup.spotify.was_asked.wait()
    assert await asyncio.gather(*(setup.refresh() for _ in range(5))) == [None] * 5
    setup.spotify.released.set()
    tokens = await first
    assert tokens is not None
    assert (tokens.access_token, await setup.kept()) == ("a", "b")
    assert setup.spotify.asked == [setup.spotify.token_path]


async def test_a_token_that_was_withdrawn_is_forgotten(setup: Setup) -> None:
    setup.spotify.refresh_tokens.clear()
    assert await setup.refresh() is None
    assert await setup.kept() is None


@pytest.mark.parametrize("fault", [Fault(500), Fault(200, b"<html>"), Fault(429)], ids=str)
async def test_a_provider_that_fails_takes_no_token(setup: Setup, fault: Fault) -> None:
    setup.spotify.faults[setup.spotify.token_path] = [fault]
    first = await setup.kept()
    assert await setup.refresh() is None
    assert await setup.kept() == first
    assert await setup.refresh() is not None


async def test_a_provider_that_is_no_longer_set_up_is_not_asked(setup: Setup) -> None:
    assert await setup._replace(providers={}).refresh() is None
    assert setup.spotify.asked == []
