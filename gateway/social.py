"""`/v1/auth/oauth`: members sign in with Google, Spotify or Facebook.

The app sends the browser to `start`, which sends it to the provider; the provider sends it back to
`callback`, which asks the provider who it was, and sends it on to the app with a code; the app
redeems the code (here for a session, in `gateway/identities.py` for a link). Tokens are never in an
address. Three things hold the ends together: the state is good once and only in the browser that
began, the verifier of PKCE binds the provider's code to us, and that of the app binds ours to it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, ids
from core.programs import Redirect
from core.providers.social import flow
from core.providers.social.flow import Challenge, SocialProvider, Verifier
from db import identities, sign_ins
from db.identities import SignedIn
from db.pg import Db
from db.sign_ins import Begun, Proof
from gateway import auditing, notices, signin
from gateway.app import App, Call, read_as
from gateway.signin import SignIn, Subject
from web import problem
from web.routing import Route

CALLBACK: Final = "/v1/auth/oauth/{provider}/callback"
#: The answer belongs to one browser, and its address to nobody else.
PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")

Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$(?!\n)")]


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the browser shall come back to, and the app's own challenge and state."""

    program: Annotated[str, Meta(max_length=64)]
    redirect_uri: Redirect
    code_challenge: Challenge
    code_challenge_method: Literal["S256"] = "S256"
    state: Annotated[str, Meta(max_length=512, pattern=r"^[ -~]*$(?!\n)")] = ""


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What the browser brings from the provider, which may add words of its own."""

    state: Annotated[str, Meta(max_length=128, pattern=r"^[!-~]+$(?!\n)")]
    # As long as the head of a request lets it be: providers name no bound.
    code: Annotated[str, Meta(pattern=r"^[!-~]*$(?!\n)")] = ""
    error: Annotated[str, Meta(max_length=256, pattern=r"^[ -~]*$(?!\n)")] = ""


class Redeem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code that came to the app, and the verifier that it kept."""

    code: Code
    code_verifier: Verifier

    def __repr__(self) -> str:
        return "Redeem(…)"


class Provider(msgspec.Struct, frozen=True):
    """A provider that is set up."""

    provider: str


class Providers(msgspec.Struct, frozen=True):
    """All that are set up."""

    data: list[Provider]


REDEEM: Final = msgspec.json.Decoder(Redeem)


async def list_all(call: Call) -> web.Response:
    """Which providers are set up."""
    return problem.reply(Providers([Provider(slug) for slug in sorted(call.app.providers)]))


async def start(call: Call) -> web.Response:
    """Send the browser to the provider."""
    wanted = problem.decode_query(Start, call.query)
    app, provider = call.app, _provider(call)
    await _check_redirect(app, wanted)
    cookie = _cookie(call) or _secret()
    state, nonce, verifier = _secret(), _secret(), _secret()
    begun = Begun(
        provider=provider.slug,
        program_id=wanted.program,
        browser=_digest(cookie),
        verifier=verifier,
        nonce=nonce,
        redirect_uri=wanted.redirect_uri,
        challenge=wanted.code_challenge,
        app_state=wanted.state,
    )
    await sign_ins.begin(app.redis, state, begun)
    ask = flow.Ask(_callback(app, provider), state, nonce, flow.challenge(verifier))
    response = _sent_to(provider.authorize_url(ask))
    is_https = _is_https(app)
    response.set_cookie(
        _cookie_name(app),
        cookie,
        max_age=sign_ins.STATE_TTL_S,
        path="/",
        secure=is_https,
        httponly=True,
        samesite="Lax",
    )
    return response


async def callback(call: Call) -> web.Response:
    """Take the browser back from the provider, and send it on to the app with a code."""
    brought = problem.decode_query(Brought, call.query)
    app = call.app
    begun = await sign_ins.take(app.redis, brought.state)
    digest = _digest(_cookie(call) or "")
    is_same_browser = hmac.compare_digest(begun.browser, digest)
    if not is_same_browser or begun.provider != call.params["provider"]:
        raise errors.SignInStateInvalid
    values = {"state": begun.app_state} if begun.app_state else {}
    try:
        values["code"] = await _prove(call, begun, brought)
    except errors.StampgateError as error:
        signin.count("social", "refused")
        values["error"] = error.code
    return _sent_to(flow.with_query(begun.redirect_uri, values))


async def redeem(call: Call) -> web.Response:
    """Sign in with the code, to the program of the header."""
    app, body = call.app, await read_as(call, REDEEM)
    program_id = signin.program_of(call)
    proof = await proved(app, body, program_id)
    ids_of_new = {"identity_id": app.new_id("identity"), "member_id": app.new_id("member")}
    async with app.transaction() as db:
        signed_in = await identities.sign_in(db, app.ring, proof, **ids_of_new)
        if signed_in.is_new_member:
            await app.points.open_accounts(program_id, [signed_in.member_id])
        await _record(call, db, proof, signed_in)
        subject = Subject(signed_in.member_id, is_member=True, method="social")
        answer = await signin.admit(call, db, subject)
    return problem.reply(answer, headers=signin.FRESH)


async def proved(app: App, body: Redeem, program_id: str) -> Proof:
    """Whom the code stands for, in this program; SignInCodeInvalid."""
    proof = await sign_ins.redeem(app.redis, app.ring, body.code)
    is_answered = flow.is_answered(body.code_verifier, proof.challenge)
    if not is_answered or proof.program_id != program_id:
        raise errors.SignInCodeInvalid
    return proof


async def _prove(call: Call, begun: Begun, brought: Brought) -> str:
    """A code for the person whom the provider names."""
    if brought.error:
        is_declined = brought.error == "access_denied"
        raise errors.SignInDeclined if is_declined else errors.ProviderUnavailable
    app, provider = call.app, _provider(call)
    reply = flow.Reply(
        code=brought.code,
        redirect_uri=_callback(app, provider),
        verifier=begun.verifier,
        nonce=begun.nonce,
        now_s=app.now_ms() // 1000,
    )
    proven = await provider.prove(app.outbound.send, reply)
    code = _secret()
    proof = Proof(
        provider=begun.provider,
        program_id=begun.program_id,
        challenge=begun.challenge,
        profile=proven.profile,
        refresh_token=proven.tokens.refresh_token,
    )
    await sign_ins.keep(app.redis, app.ring, code, proof)
    return code


async def _record(call: Call, db: Db, proof: Proof, signed_in: SignedIn) -> None:
    member_id, program_id = signed_in.member_id, proof.program_id
    if signed_in.is_new_member:
        await auditing.record(call, db, "member.create", member_id, program_id=program_id)
    if signed_in.is_new_link:
        after = {"provider": proof.provider}
        await auditing.record(
            call, db, "identity.link", member_id, after=after, program_id=program_id
        )
    if signed_in.is_new_link and not signed_in.is_new_member:
        await notices.send(call, db, member_id, program_id, "sign_in_added")


async def _check_redirect(app: App, wanted: Start) -> None:
    """ProgramNotFound; RedirectNotAllowed for an address that the program does not list."""
    if not ids.is_id(wanted.program, "program"):
        raise errors.ProgramNotFound
    program = await app.rules.program(wanted.program)
    if wanted.redirect_uri not in program.settings.sign_in_redirects:
        raise errors.RedirectNotAllowed


def _provider(call: Call) -> SocialProvider:
    provider = call.app.providers.get(call.params["provider"])
    if provider is None:
        raise errors.ProviderNotFound
    return provider


def _callback(app: App, provider: SocialProvider) -> str:
    return app.settings.public_gateway_url + CALLBACK.format(provider=provider.slug)


def _is_https(app: App) -> bool:
    return app.settings.public_gateway_url.startswith("https:")


def _cookie_name(app: App) -> str:
    """With this prefix no other host and no plain http can plant the cookie."""
    return "__Host-stampgate-sign-in" if _is_https(app) else "stampgate-sign-in"


def _cookie(call: Call) -> str | None:
    """The browser's secret; None when it has none, or one that is not ours."""
    value = call.request.cookies.get(_cookie_name(call.app), "")
    return value if _SECRET.fullmatch(value) else None


def _secret() -> str:
    return flow.secret(os.urandom(flow.SECRET_BYTES))


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


def _sent_to(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url, **PRIVATE})


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/auth/oauth",
        handler=list_all,
        name="list_sign_in_providers",
        summary="Which providers members can sign in with",
        reply=Providers,
    ),
    Route(
        method="GET",
        path="/v1/auth/oauth/{provider}/start",
        handler=start,
        name="start_provider_sign_in",
        summary="Send the browser to the provider",
        query=Start,
        status=302,
        errors=(
            errors.ProviderNotFound,
            errors.ProgramNotFound,
            errors.RedirectNotAllowed,
            errors.Unavailable,
            errors.OutcomeUnknown,
        ),
    ),
    Route(
        method="GET",
        path=CALLBACK,
        handler=callback,
        name="finish_provider_sign_in",
        summary="Take the browser back from the provider, and send it to the app with a code",
        query=Brought,
        status=302,
        errors=(errors.SignInStateInvalid, errors.Unavailable, errors.OutcomeUnknown),
    ),
    Route(
        method="POST",
        path="/v1/auth/oauth/redeem",
        handler=redeem,
        name="redeem_provider_sign_in",
        summary="Sign in with the code that the browser brought, to the program of the header",
        body=Redeem,
        reply=SignIn,
        errors=(
            *signin.ERRORS,
            *signin.PROGRAM_ERRORS,
            errors.SignInCodeInvalid,
            errors.MailTaken,
            errors.ProviderLinked,
            errors.IdentityTaken,
            errors.NotOpen,
        ),
        is_secret=True,
        repeats="The code is good once; without the answer, the sign-in begins again.",
    ),
)
