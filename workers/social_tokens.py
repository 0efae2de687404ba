"""Tokens of providers that members are linked with, for work on their behalf.

One process at a time asks for new ones, because a refresh token that came twice may end them all.
"""

from __future__ import annotations

import logging

from core import errors
from core.http import Send
from core.keyring import KeyRing
from core.providers.social.flow import SocialProvider, Tokens
from db import identities, pg

log = logging.getLogger(__name__)


async def refresh(
    pool: pg.Pool,
    ring: KeyRing,
    send: Send,
    providers: dict[str, SocialProvider],
    identity_id: str,
) -> Tokens | None:
    """New tokens of an identity; None when there are none to be had now.

    That is so while another process asks, when the provider is away (the old token is kept), and
    when the member has withdrawn the consent (the old token is forgotten).
    """
    async with pool.acquire() as db:
        lease = await identities.lease(db, ring, identity_id)
    provider = providers.get(lease.provider) if lease else None
    if lease is None or provider is None:
        return None
    tokens: Tokens | None = None
    try:
        tokens = await provider.refresh(send, lease.refresh_token)
        kept, is_replaced = tokens.refresh_token, tokens.refresh_token is not None
    except errors.ProviderRefused:
        log.info("%s no longer takes the token of %s", lease.provider, identity_id)
        kept, is_replaced = None, True
    except errors.ProviderUnavailable:
        log.warning("%s gave no new token", lease.provider)
        kept, is_replaced = None, False
    async with pool.acquire() as db:
        await identities.end_lease(db, ring, lease, refresh_token=kept, is_replaced=is_replaced)
    return tokens
