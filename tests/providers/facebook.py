"""A local Facebook: tokens by GET, `/me` with a proof of the app's secret, errors of its own."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from aiohttp import web

from tests.providers.server import CLIENT_ID, CLIENT_SECRET, Refusal, Server

SIXTY_DAYS_S = 5_183_944
# Error codes of the Graph API by the OAuth word that the shared code uses.
CODES = {"invalid_grant": 100, "invalid_token": 190, "invalid_client": 1, "limit": 4}


class Facebook(Server):
    """Tokens are exchanged for longer ones; there are no refresh tokens."""

    authorize_path = "/v25.0/dialog/oauth"
    token_path = "/v25.0/oauth/access_token"
    profile_path = "/v25.0/me"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(self.authorize_path, self.authorize),
            web.get(self.token_path, self.give),
            web.get(self.profile_path, self.me),
        ]

    def config(self) -> dict[str, Any]:
        return {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "authorize_url": self.url + self.authorize_path,
            "exchange_url": self.url + self.token_path,
            "profile_url": self.url + self.profile_path,
        }

    async def give(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.check_client(request, query)
        if query.get("grant_type") == "fb_exchange_token":
            grant = self.access_tokens.get(query["fb_exchange_token"])
            if grant is None:
                raise Refusal("invalid_token")
            token = {**self._access(grant), "expires_in": SIXTY_DAYS_S}
        else:
            token = self._access(self.redeem(query))
        del token["scope"]
        return web.json_response(token)

    async def me(self, request: web.Request) -> web.Response:
        token = request.query.get("access_token", "")
        grant = self.access_tokens.get(token)
        if grant is None:
            raise Refusal("invalid_token")
        proof = hmac.new(CLIENT_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
        if request.query.get("appsecret_proof") != proof:
            raise Refusal("invalid_grant")
        values = {"id": grant.person.id, "name": grant.person.name, "email": grant.person.mail}
        fields = request.query["fields"].split(",")
        return web.json_response(
            {name: value for name, value in values.items() if name in fields and value is not None}
        )

    def refuse(self, refusal: Refusal) -> web.Response:
        error = {
            "message": "no",
            "type": "OAuthException",
            "code": CODES[refusal.error],
            "fbtrace_id": "A",
        }
        return web.json_response({"error": error}, status=400)
