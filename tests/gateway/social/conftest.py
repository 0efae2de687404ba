"""A gateway with all providers set up, and browsers and apps that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import msgspec
import pytest

from core.settings import Settings
from tests.gateway.conftest import Client, Enter, encode
from tests.gateway.social.browsers import APP, PUBLIC, Attempt, Browser
from tests.providers import server
from tests.providers.facebook import Facebook
from tests.providers.google import Google
from tests.providers.server import Server
from tests.providers.spotify import Spotify

KINDS: dict[str, type[Server]] = {"google": Google, "spotify": Spotify, "facebook": Facebook}


@pytest.fixture
async def theirs() -> AsyncIterator[dict[str, Server]]:
    """All providers."""
    async with (
        server.running(Google) as google,
        server.running(Spotify) as spotify,
        server.running(Facebook) as facebook,
    ):
        found: dict[str, Server] = {"google": google, "spotify": spotify, "facebook": facebook}
        for name, one in found.items():
            one.redirect_uris.add(f"{PUBLIC}/v1/auth/oauth/{name}/callback")
        yield found


@pytest.fixture
def settings(settings: Settings, theirs: dict[str, Server], tmp_path: Path) -> Settings:
    path = tmp_path / "providers.json"
    path.write_bytes(encode({"social": {name: one.config() for name, one in theirs.items()}}))
    return msgspec.structs.replace(
        settings,
        providers_file=str(path),
        gateway_url=PUBLIC,
        outbound_allow="127.0.0.1",
    )


@pytest.fixture
def google(theirs: dict[str, Server]) -> Google:
    found = theirs["google"]
    assert isinstance(found, Google)
    return found


Begin: TypeAlias = Callable[..., Attempt]


@pytest.fixture
async def program(staff: Client, enter: Enter) -> str:
    """A program that lists where its app is."""
    await enter()
    return await listed(staff)


async def listed(staff: Client) -> str:
    found = (await staff.get("/v1/programs")).body["data"][-1]["id"]
    changed = await staff.patch(
        f"/v1/programs/{found}", {"settings": {"sign_in_redirects": [APP]}}, Stampgate_Program=found
    )
    assert changed.status == 200, changed.body
    return str(found)


@pytest.fixture
def browser(gateway: tuple[Any, str], session: aiohttp.ClientSession) -> Browser:
    return Browser(session, gateway[1])


@pytest.fixture
def begin(browser: Browser, program: str) -> Begin:
    """Makes an attempt of this program's app in this browser, with Google if nothing is said."""

    def make(provider: str = "google", **changes: Any) -> Attempt:
        return Attempt(
            changes.get("browser", browser), changes.get("program_id", program), provider
        )

    return make


async def identities_of(member: Client) -> list[str]:
    answer = await member.get("/v1/me/identities")
    assert answer.status == 200
    return [one["provider"] for one in answer.body["data"]]


async def subject_of(member: Client) -> str:
    return str((await member.get("/v1/me")).body["id"])
