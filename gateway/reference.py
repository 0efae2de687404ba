"""`/docs`: all routes on one page, for people. It is made of the route table and runs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from typing import Final

from web import openapi
from web.routing import Route

HTML: Final = "text/html"

_HEAD: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>Stampgate API</title>'
    "<h1>Stampgate API</h1>"
    '<p>Bodies, answers and errors of each route are in <a href="/openapi.json">openapi.json</a>.'
)


def page(routes: Iterable[Route]) -> str:
    """HTML with a table for each subject."""
    rows: dict[str, list[str]] = defaultdict(list)
    for route in routes:
        rows[openapi.tag(route.path)].append(_row(route))
    tables = "".join(
        f"<h2>{escape(tag)}</h2><table><tr><th>route<th>what<th>scope{''.join(found)}</table>"
        for tag, found in rows.items()
    )
    return f"{_HEAD}{tables}</html>"


def _row(route: Route) -> str:
    ends = " (deprecated)" if route.deprecated_on is not None else ""
    cells = (f"{route.method} {route.path}", route.summary + ends, route.scope or "none")
    return f'<tr id="{escape(route.name)}">' + "".join(f"<td>{escape(one)}" for one in cells)
