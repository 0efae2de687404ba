"""The codes that were sent: tests read them where their receivers would."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg
import msgspec

from core import fields
from core.http import HttpRequest, HttpResponse, OutboundRefused
from db import outbox
from gateway.app import App
from workers import jobs
from workers.broker import Tools
from workers.channels import table


class Letter(NamedTuple):
    """A message that waits to be sent."""

    template: str
    channel: str
    address: str
    language: str
    code: str


async def letters(app: App) -> list[Letter]:
    """The messages that there are, oldest first, once what makes them has been performed."""
    async with app.pool.acquire() as db:
        tickets = await outbox.claim(db, app.now_ms() + 1_000, ["send_code"], 100)
    for ticket in tickets:
        await jobs.perform(tools(app), ticket.id, ticket.attempt)
    async with app.pool.acquire() as db:
        rows = await db.fetch("SELECT * FROM notification ORDER BY created_at, id")
    return [
        Letter(
            row["template"],
            row["channel"],
            opened(app, row, "address"),
            row["language"],
            msgspec.json.decode(opened(app, row, "variables")).get("code", ""),
        )
        for row in rows
    ]


def opened(app: App, row: asyncpg.Record, column: str) -> str:
    return fields.unseal(app.ring, row[column], f"notification.{column}:{row['id']}")


def tools(app: App) -> Tools:
    """What the actors work with, as far as making codes needs it."""
    channels = table.chosen(app.settings)
    return Tools(app.settings, app.ring, app.pool, app.redis, nowhere, channels, app.storage)


async def code(app: App) -> str:
    """The code in the latest message."""
    return (await letters(app))[-1].code


async def nowhere(_: HttpRequest) -> HttpResponse:
    raise OutboundRefused("nothing is sent")


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 10**6:06}"
