"""Clicks as the API reads them, and the ones that it makes beforehand."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

import asyncpg
import msgspec

from core import classes, clickid, clicks
from db import keys, redis
from db.pg import Db

PREMINT: Final = redis.Script("click_premint")
# A click id has 16 bits for its boot.
BOOTS_MAX: Final = 1 << 16
EPOCH: Final = dt.date(1970, 1, 1)

SELECT = """
SELECT click_id, link_id, clicked_at, class, reasons, country, device, system, browser, referrer,
       member_id, variant, parameters
  FROM click WHERE day = $1 AND click_id = $2 AND program_id = $3
"""
PAGE = """
SELECT click_id, link_id, clicked_at, class, reasons, country, device, system, browser, referrer,
       member_id, variant, parameters
  FROM click
 WHERE day BETWEEN $3 AND $4 AND clicked_at >= $5 AND clicked_at < $6
   AND link_id = $2 AND program_id = $1
   AND ($7::text = '' OR (day, click_id) < ($8::date, $7))
 ORDER BY day DESC, click_id DESC LIMIT $9
"""
# A boot number may be given out again, after which its numbers begin anew.
MISSING = """
SELECT coalesce(sum(greatest(highest - stored, 0)), 0)::bigint FROM click_boot
"""


class Click(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A click: `minted` waits for its visit, `in_flight` is on its way to PostgreSQL."""

    id: str
    state: Literal["minted", "in_flight", "stored"]
    minted_at: dt.datetime
    link_id: str | None = None
    clicked_at: dt.datetime | None = None
    hit_class: classes.ClassName | None = msgspec.field(default=None, name="class")
    reasons: list[str] = []
    country: str | None = None
    device: str | None = None
    system: str | None = None
    browser: str | None = None
    referrer: str | None = None
    member_id: str | None = None
    variant: str | None = None
    parameters: dict[str, str] | None = None


async def missing(db: Db) -> int:
    """How many numbers below the highest of each boot are not stored: they should be dense."""
    count: int = await db.fetchval(MISSING)
    return count


async def new_boot(connection: redis.Connection) -> int:
    """A number for the click ids of this process; raises as `Connection.call`."""
    return int(await connection.call("INCR", keys.BOOTS)) % BOOTS_MAX


async def premint(
    connection: redis.Connection, click_id: str, click: clicks.Premint, ttl_s: int
) -> None:
    """Keep a click for its visit; raises as `Connection.run`."""
    packed = clicks.encode_premint(click)
    await connection.run(PREMINT, (keys.premint(click_id),), (packed, ttl_s))


async def minted(connection: redis.Connection, click_id: str) -> tuple[clicks.Premint, bool] | None:
    """A click that was made beforehand and whether it was visited, or None."""
    packed, visited_at = await connection.call("HMGET", keys.premint(click_id), "e", "visited_at")
    return None if packed is None else (clicks.decode_premint(packed), visited_at is not None)


async def stored(db: Db, program_id: str, click: clickid.ClickId) -> Click | None:
    """The click as PostgreSQL has it, or None."""
    row = await db.fetchrow(SELECT, _day(click.ms), click.text, program_id)
    return None if row is None else _click(row)


async def page(
    db: Db,
    program_id: str,
    link_id: str,
    *,
    first: dt.datetime,
    end: dt.datetime,
    before: clickid.ClickId | None,
    limit: int,
) -> list[Click]:
    """Up to `limit` clicks on a link from `first` to before `end`, both UTC, the latest first."""
    rows = await db.fetch(
        PAGE,
        program_id,
        link_id,
        first.date(),
        end.date(),
        first,
        end,
        "" if before is None else before.text,
        EPOCH if before is None else _day(before.ms),
        limit,
    )
    return [_click(row) for row in rows]


def minted_at(click: clickid.ClickId) -> dt.datetime:
    """When the click id was made."""
    return dt.datetime.fromtimestamp(click.ms / 1000, dt.UTC)


def _day(ms: int) -> dt.date:
    return EPOCH + dt.timedelta(days=ms // clickid.DAY_MS)


def _click(row: asyncpg.Record) -> Click:
    parameters = row["parameters"]
    return Click(
        id=row["click_id"],
        state="stored",
        minted_at=minted_at(clickid.decode(row["click_id"])),
        link_id=row["link_id"],
        clicked_at=row["clicked_at"],
        hit_class=classes.NAMES[row["class"]],
        reasons=row["reasons"],
        country=row["country"],
        device=row["device"],
        system=row["system"],
        browser=row["browser"],
        referrer=row["referrer"],
        member_id=row["member_id"],
        variant=row["variant"],
        parameters=None if parameters is None else msgspec.json.decode(parameters),
    )
