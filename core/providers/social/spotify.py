"""Spotify: OAuth 2, the profile from its API. Its mail addresses are ones that nobody has verified.

Without a secret we are a public client, whose refresh tokens Spotify replaces at each use.
"""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

import msgspec

from core.errors import ProviderRefused, ProviderUnavailable
from core.http import HttpRequest, Send
from core.providers.social import flow
from core.providers.social.flow import Ask, Endpoint, Given, Profile, Proven, Reply, Scopes, Tokens

SLUG: Final = "spotify"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spotify refuses `localhost` in redirect URIs; name 127.0.0.1."""

    client_id: Given
    client_secret: Given | None = None
    scopes: Scopes = ("user-read-email", "user-read-private")
    authorize_url: Endpoint = "https://accounts.spotify.com/authorize"
    exchange_url: Endpoint = "https://accounts.spotify.com/api/token"
    profile_url: Endpoint = "https://api.spotify.com/v1/me"

    def __repr__(self) -> str:
        return f"Config({self.client_id})"


class _Me(msgspec.Struct, frozen=True):
    id: str
    display_name: str | None = None
    email: str | None = None


class Spotify:
    """See the module."""

    slug: Final = SLUG

    def __init__(self, config: Config) -> None:
        self._config = config

    def authorize_url(self, ask: Ask) -> str:
        """Where the browser goes to sign in."""
        return flow.with_query(
            self._config.authorize_url,
            {
                "client_id": self._config.client_id,
                "response_type": "code",
                "redirect_uri": ask.redirect_uri,
                "scope": " ".join(self._config.scopes),
                "state": ask.state,
                "code_challenge": ask.challenge,
                "code_challenge_method": "S256",
            },
        )

    async def prove(self, send: Send, reply: Reply) -> Proven:
        """Whom the code stands for; ProviderRefused, ProviderUnavailable."""
        tokens = await self._tokens(
            send,
            {
                "grant_type": "authorization_code",
                "code": reply.code,
                "redirect_uri": reply.redirect_uri,
                "code_verifier": reply.verifier,
            },
        )
        return Proven(await self._profile(send, tokens.access_token), tokens)

    async def refresh(self, send: Send, refresh_token: str) -> Tokens:
        """New tokens; ProviderRefused when the old token is good no more, ProviderUnavailable."""
        wanted = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._tokens(send, wanted)

    async def _tokens(self, send: Send, wanted: dict[str, str]) -> Tokens:
        config = self._config
        headers = {}
        if config.client_secret is not None:
            headers["Authorization"] = _basic(config.client_id, config.client_secret)
        request = flow.form(
            config.exchange_url,
            {**wanted, "client_id": config.client_id},
            purpose=SLUG,
            headers=headers,
        )
        return (await flow.token_answer(send, request)).tokens()

    async def _profile(self, send: Send, access_token: str) -> Profile:
        request = HttpRequest(
            method="GET",
            url=self._config.profile_url,
            purpose=SLUG,
            headers={"Accept": "application/json", "Authorization": f"Bearer {access_token}"},
            timeout_s=flow.TIMEOUT_S,
        )
        response = await flow.answer(send, request)
        if response.status == 403:
            # An app in development mode serves only those on its list.
            raise ProviderRefused
        if response.status != 200:
            raise ProviderUnavailable
        me = flow.read(response, _Me)
        return flow.checked(Profile(subject=me.id, mail=me.email, name=me.display_name))


def _basic(client_id: str, client_secret: str) -> str:
    """RFC 6749 §2.3.1: both are form-encoded before they are joined."""
    pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
