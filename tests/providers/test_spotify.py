"""What is Spotify's own: public clients, tokens that are replaced, apps in development mode."""

from __future__ import annotations

import pytest

from core.errors import ProviderRefused
from core.providers.social import builtin
from tests.providers.conftest import Setup
from tests.providers.server import CLIENT_SECRET
from tests.providers.spotify import Spotify

pytestmark = pytest.mark.parametrize("setup", ["spotify"], indirect=True)


def theirs(setup: Setup) -> Spotify:
    assert isinstance(setup.theirs, Spotify)
    return setup.theirs


async def test_a_refresh_token_is_replaced_when_it_is_used(setup: Setup) -> None:
    kept = (await setup.sign_in()).tokens.refresh_token or ""
    tokens = await setup.ours.refresh(setup.send, kept)
    assert tokens.refresh_token not in {None, kept}
    with pytest.raises(ProviderRefused):
        await setup.ours.refresh(setup.send, kept)


async def test_a_refresh_token_that_is_not_replaced_stays(setup: Setup) -> None:
    theirs(setup).is_rotating = False
    kept = (await setup.sign_in()).tokens.refresh_token or ""
    assert (await setup.ours.refresh(setup.send, kept)).refresh_token is None


async def test_an_app_with_a_secret_shows_it_in_the_header(setup: Setup) -> None:
    theirs(setup).is_secret_needed = True
    config = {**setup.theirs.config(), "client_secret": CLIENT_SECRET}
    confidential = setup._replace(ours=builtin.make({"spotify": config})["spotify"])
    await confidential.sign_in()


async def test_an_app_in_development_mode_refuses_strangers(setup: Setup) -> None:
    theirs(setup).is_in_development = True
    with pytest.raises(ProviderRefused):
        await setup.sign_in()
