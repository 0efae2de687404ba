"""Facebook: OAuth 2, the profile from the Graph API with a proof that we hold the app's secret.

It says nothing about who verified a mail address, so none counts as verified. There are no refresh
tokens: a token good for an hour is exchanged for one of sixty days, which is kept in their place
and exchanged again for a new one.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, TypeVar

import msgspec

from core.errors import ProviderRefused, ProviderUnavailable
from core.http import HttpRequest, HttpResponse, Send
from core.providers.social import flow
from core.providers.social.flow import Ask, Endpoint, Given, Profile, Proven, Reply, Scopes, Tokens

T = TypeVar("T")

SLUG: Final = "facebook"
# Graph API error codes that are a no: a code that is not good (100), a token that is not (190).
# Others are about our app (1, 101) or its limits (4, 17, 613).
REFUSALS: Final = frozenset({100, 190})


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`long_lived` keeps a token of sixty days."""

    client_id: Given
    client_secret: Given
    scopes: Scopes = ("public_profile", "email")
    long_lived: bool = True
    authorize_url: Endpoint = "https://www.facebook.com/v25.0/dialog/oauth"
    exchange_url: Endpoint = "https://graph.facebook.com/v25.0/oauth/access_token"
    profile_url: Endpoint = "https://graph.facebook.com/v25.0/me"

    def __repr__(self) -> str:
        return f"Config({self.client_id})"


class _Me(msgspec.Struct, frozen=True):
    id: str
    name: str | None = None
    email: str | None = None


class _Fault(msgspec.Struct, frozen=True):
    code: int


class _FaultAnswer(msgspec.Struct, frozen=True):
    error: _Fault


class Facebook:
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
                "scope": ",".join(self._config.scopes),
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
                "code": reply.code,
                "redirect_uri": reply.redirect_uri,
                "code_verifier": reply.verifier,
            },
        )
        profile = await self._profile(send, tokens.access_token)
        if self._config.long_lived:
            tokens = await self.refresh(send, tokens.access_token)
        return Proven(profile, tokens)

    async def refresh(self, send: Send, refresh_token: str) -> Tokens:
        """A new long-lived token; ProviderRefused when the old one is good no more,
        ProviderUnavailable."""
        tokens = await self._tokens(
            send, {"grant_type": "fb_exchange_token", "fb_exchange_token": refresh_token}
        )
        return msgspec.structs.replace(tokens, refresh_token=tokens.access_token)

    async def _tokens(self, send: Send, wanted: dict[str, str]) -> Tokens:
        config = self._config
        client = {"client_id": config.client_id, "client_secret": config.client_secret}
        response = await self._get(send, config.exchange_url, {**client, **wanted})
        return _read(response, flow.TokenAnswer).tokens()

    async def _profile(self, send: Send, access_token: str) -> Profile:
        secret = self._config.client_secret.encode()
        wanted = {
            "fields": "id,name,email",
            "access_token": access_token,
            "appsecret_proof": hmac.new(secret, access_token.encode(), hashlib.sha256).hexdigest(),
        }
        me = _read(await self._get(send, self._config.profile_url, wanted), _Me)
        return flow.checked(Profile(subject=me.id, mail=me.email, name=me.name))

    async def _get(self, send: Send, url: str, query: dict[str, str]) -> HttpResponse:
        request = HttpRequest(
            method="GET",
            url=flow.with_query(url, query),
            purpose=SLUG,
            headers={"Accept": "application/json"},
            timeout_s=flow.TIMEOUT_S,
        )
        return await flow.answer(send, request)


def _read(response: HttpResponse, kind: type[T]) -> T:
    if response.status == 200:
        return flow.read(response, kind)
    if response.status < 500 and flow.read(response, _FaultAnswer).error.code in REFUSALS:
        raise ProviderRefused
    raise ProviderUnavailable
