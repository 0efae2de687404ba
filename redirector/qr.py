"""`GET /r/{slug}.svg` and `.png`: the link as a QR code that tells a scan from a click."""

from __future__ import annotations

import asyncio
import functools
import io
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import segno
from aiohttp import web

from core import errors
from redirector.state import State

Kind = Literal["svg", "png"]

CONTENT_TYPES: Final[dict[str, str]] = {"svg": "image/svg+xml", "png": "image/png"}
CACHED_MAX: Final = 256
CACHE_CONTROL: Final = "public, max-age=3600"


class Options(msgspec.Struct, frozen=True):
    """How it looks: `size` in pixels, at most; `margin` in modules; error correction `ecc`."""

    size: Annotated[int, msgspec.Meta(ge=64, le=2048)] = 512
    margin: Annotated[int, msgspec.Meta(ge=0, le=16)] = 4
    ecc: Literal["l", "m", "q", "h"] = "m"


class Drawing(NamedTuple):
    """All that a code's picture depends on."""

    text: str
    kind: Kind
    options: Options


async def qr(state: State, slug: str, kind: Kind, query: str) -> web.StreamResponse:
    """The picture, drawn off the loop; raises InvalidRequest for options out of bounds."""
    if state.cache.get(slug) is None:
        await state.cache.find(slug)
    try:
        options = msgspec.convert(dict(parse_qsl(query)), Options, strict=False)
    except msgspec.ValidationError as error:
        raise errors.InvalidRequest(str(error)) from None
    drawing = Drawing(f"{state.public_url}/r/{slug}?_r.t=qr", kind, options)
    picture = await asyncio.to_thread(_draw, drawing)
    return web.Response(
        body=picture,
        content_type=CONTENT_TYPES[kind],
        headers={"Cache-Control": CACHE_CONTROL, "X-Robots-Tag": "noindex"},
    )


@functools.lru_cache(CACHED_MAX)
def _draw(drawing: Drawing) -> bytes:
    code = segno.make(drawing.text, error=drawing.options.ecc, boost_error=False, micro=False)
    margin = drawing.options.margin
    scale = drawing.options.size / code.symbol_size(border=margin)[0]
    out = io.BytesIO()
    if drawing.kind == "png":
        code.save(out, kind="png", scale=max(1, int(scale)), border=margin)
    else:
        code.save(out, kind="svg", scale=round(scale, 3), border=margin)
    return out.getvalue()
