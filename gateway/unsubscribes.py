"""`/u/{token}`: the link with which a mail is unsubscribed from, in one click (RFC 8058).

A look at it changes nothing, because programs that look into mails follow all links; the click is a
POST. No sign-in: the token says whose wish it carries.
"""

from __future__ import annotations

from html import escape
from typing import Final, NamedTuple

from aiohttp import web

from core import errors, languages, preferences
from core.clicks import preferred_language
from core.errors import BadField
from core.preferences import Unsubscribe
from db import preferences as stored
from gateway import auditing
from gateway.app import Call, read
from web.routing import Route

HTML: Final = "text/html"


class Words(NamedTuple):
    """What the page says."""

    title: str
    question: str
    button: str
    done: str


WORDS: Final[dict[str, Words]] = {
    "en": Words(
        "Unsubscribe",
        "Shall messages of this kind not come to you any more?",
        "Unsubscribe",
        "Messages of this kind will not come to you any more.",
    ),
    "de": Words(
        "Abbestellen",
        "Sollen Sie Nachrichten dieser Art nicht mehr bekommen?",
        "Abbestellen",
        "Sie bekommen Nachrichten dieser Art nicht mehr.",
    ),
    "es": Words(
        "Darse de baja",
        "¿No quiere recibir más mensajes de este tipo?",
        "Darse de baja",
        "Ya no recibirá mensajes de este tipo.",
    ),
    "fr": Words(
        "Se désabonner",
        "Ne souhaitez-vous plus recevoir de messages de ce genre ?",
        "Se désabonner",
        "Vous ne recevrez plus de messages de ce genre.",
    ),
    "hi": Words(
        "सदस्यता छोड़ें",
        "क्या इस तरह के संदेश आपको अब न भेजे जाएँ?",
        "सदस्यता छोड़ें",
        "इस तरह के संदेश आपको अब नहीं भेजे जाएँगे।",
    ),
}


async def ask(call: Call) -> web.Response:
    """Ask whether the messages shall end."""
    _wish(call)
    words, language = _words(call)
    button = f'<form method="post"><button>{escape(words.button)}</button></form>'
    return _page(words.title, f"<p>{escape(words.question)}</p>{button}", language)


async def unsubscribe(call: Call) -> web.Response:
    """End the messages of the token's topic by its channel."""
    wish = _wish(call)
    await read(call)
    async with call.app.transaction() as db:
        await stored.say(
            db, wish.program_id, wish.member_id, wish.topic, wish.channel, said_by="link"
        )
        await auditing.record(
            call,
            db,
            "notification_preferences.unsubscribe",
            wish.member_id,
            after={"topic": wish.topic, "channel": wish.channel},
            program_id=wish.program_id,
        )
    words, language = _words(call)
    return _page(words.title, f"<p>{escape(words.done)}</p>", language)


def _wish(call: Call) -> Unsubscribe:
    """What the token of the path stands for; NotFound."""
    try:
        return preferences.read_token(call.app.ring, call.params["token"])
    except BadField:
        raise errors.NotFound from None


def _words(call: Call) -> tuple[Words, str]:
    wanted = preferred_language(call.request.headers.get("Accept-Language", ""))
    language = (wanted or languages.DEFAULT).partition("-")[0]
    known = language if language in WORDS else languages.DEFAULT
    return WORDS[known], known


def _page(title: str, body: str, language: str) -> web.Response:
    text = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><h1>{escape(title)}</h1>{body}</html>"
    )
    return web.Response(text=text, content_type=HTML, headers={"Content-Language": language})


PATH: Final = "/u/{token}"

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=PATH,
        handler=ask,
        name="ask_unsubscribe",
        summary="Ask whether messages of a kind shall end",
        reply=str,
        reply_type=HTML,
        errors=(errors.NotFound,),
    ),
    Route(
        method="POST",
        path=PATH,
        handler=unsubscribe,
        name="unsubscribe",
        summary="End messages of a kind, in one click and without signing in",
        reply=str,
        reply_type=HTML,
        errors=(
            errors.NotFound,
            errors.BodyTooLarge,
            errors.Unavailable,
            errors.OutcomeUnknown,
        ),
        repeats="Whoever has unsubscribed has unsubscribed.",
    ),
)
