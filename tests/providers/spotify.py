"""A local Spotify: a public client whose refresh tokens are replaced at each use, and `/v1/me`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.providers.server import CLIENT_ID, Refusal, Server


class Spotify(Server):
    """With `is_in_development` it serves nobody, as an app does whose list the person is not on."""

    token_path = "/api/token"
    profile_path = "/v1/me"
    is_secret_needed = False

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_in_development = False
        self.is_rotating = True

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.get(self.profile_path, self.me)]

    def config(self) -> dict[str, Any]:
        return {
            "client_id": CLIENT_ID,
            "authorize_url": self.url + self.authorize_path,
            "exchange_url": self.url + self.token_path,
            "profile_url": self.url + self.profile_path,
        }

    def later_tokens(self, refresh_token: str) -> dict[str, Any]:
        answer = super().later_tokens(refresh_token)
        if self.is_rotating:
            grant = self.refresh_tokens.pop(refresh_token)
            answer["refresh_token"] = self.keep(self.refresh_tokens, grant)
        return answer

    def refuse(self, refusal: Refusal) -> web.Response:
        if refusal.status in {401, 403} and refusal.error in {"invalid_token", "forbidden"}:
            error = {"status": refusal.status, "message": "The access token expired"}
            return web.json_response({"error": error}, status=refusal.status)
        return super().refuse(refusal)

    async def me(self, request: web.Request) -> web.Response:
        person = self.bearer(request).person
        if self.is_in_development:
            raise Refusal("forbidden", 403)
        return web.json_response(
            {
                "id": person.id,
                "display_name": person.name,
                "email": person.mail,
                "country": "IN",
                "product": "free",
                "type": "user",
                "images": [],
            }
        )
