"""What is Facebook's own: a proof of the secret, and tokens that are exchanged for longer ones."""

from __future__ import annotations

import pytest

from core.errors import ProviderUnavailable
from core.providers.social import builtin
from tests.providers.conftest import Setup
from tests.providers.facebook import SIXTY_DAYS_S
from tests.providers.server import Fault

pytestmark = pytest.mark.parametrize("setup", ["facebook"], indirect=True)


async def test_a_token_of_sixty_days_is_kept(setup: Setup) -> None:
    tokens = (await setup.sign_in()).tokens
    assert tokens.refresh_token == tokens.access_token
    assert tokens.expires_in_s == SIXTY_DAYS_S


async def test_nothing_is_kept_when_it_is_not_wanted(setup: Setup) -> None:
    config = {**setup.theirs.config(), "long_lived": False}
    brief = setup._replace(ours=builtin.make({"facebook": config})["facebook"])
    assert (await brief.sign_in()).tokens.refresh_token is None


@pytest.mark.parametrize("code", [1, 4, 17, 101, 613])
async def test_limits_and_faults_of_our_app_are_no_refusal(setup: Setup, code: int) -> None:
    fault = Fault(400, b'{"error":{"message":"no","type":"OAuthException","code":%d}}' % code)
    setup.theirs.faults[setup.theirs.token_path] = [fault]
    with pytest.raises(ProviderUnavailable):
        await setup.sign_in()
