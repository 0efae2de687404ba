"""Google: OpenID Connect. The person is the ID token's `sub`; its `email_verified` is believed."""

from __future__ import annotations

from typing import Final

import msgspec

from core.errors import ProviderUnavailable
from core.http import Send
from core.providers.social import flow, idtokens
from core.providers.social.flow import Ask, Endpoint, Given, Proven, Reply, Scopes, Tokens

SLUG: Final = "google"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`offline` asks for a refresh token, for which Google shows the page of consent each time."""

    client_id: Given
    client_secret: Given
    scopes: Scopes = ("openid", "email", "profile")
    offline: bool = True
    authorize_url: Endpoint = "https://accounts.google.com/o/oauth2/v2/auth"
    exchange_url: Endpoint = "https://oauth2.googleapis.com/token"
    keys_url: Endpoint = "https://www.googleapis.com/oauth2/v3/certs"
    issuers: tuple[str, ...] = ("https://accounts.google.com", "accounts.google.com")

    def __repr__(self) -> str:
        return f"Config({self.client_id})"


class Google:
    """See the module."""

    slug: Final = SLUG

    def __init__(self, config: Config) -> None:
        self._config = config
        self._keys = idtokens.Keys(config.keys_url, SLUG)

    def authorize_url(self, ask: Ask) -> str:
        """Where the browser goes to sign in."""
        config = self._config
        offline = {"access_type": "offline", "prompt": "consent"} if config.offline else {}
        return flow.with_query(
            config.authorize_url,
            {
                "client_id": config.client_id,
                "response_type": "code",
                "redirect_uri": ask.redirect_uri,
                "scope": " ".join(config.scopes),
                "state": ask.state,
                "nonce": ask.nonce,
                "code_challenge": ask.challenge,
                "code_challenge_method": "S256",
                **offline,
            },
        )

    async def prove(self, send: Send, reply: Reply) -> Proven:
        """Whom the code stands for; ProviderRefused, ProviderUnavailable."""
        config = self._config
        answer = await self._tokens(
            send,
            {
                "grant_type": "authorization_code",
                "code": reply.code,
                "redirect_uri": reply.redirect_uri,
                "code_verifier": reply.verifier,
            },
        )
        if not answer.id_token:
            raise ProviderUnavailable
        claims = await idtokens.verify(
            self._keys,
            send,
            answer.id_token,
            issuers=config.issuers,
            audience=config.client_id,
            nonce=reply.nonce,
            now_s=reply.now_s,
        )
        return Proven(claims.profile(), answer.tokens())

    async def refresh(self, send: Send, refresh_token: str) -> Tokens:
        """New tokens; ProviderRefused when the old token is good no more, ProviderUnavailable."""
        wanted = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return (await self._tokens(send, wanted)).tokens()

    async def _tokens(self, send: Send, wanted: dict[str, str]) -> flow.TokenAnswer:
        config = self._config
        client = {"client_id": config.client_id, "client_secret": config.client_secret}
        request = flow.form(config.exchange_url, {**wanted, **client}, purpose=SLUG)
        return await flow.token_answer(send, request)
