"""How often a link was followed: live from Redis, settled from PostgreSQL's roll-ups."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

import msgspec

from core import classes
from db import keys, redis
from db.pg import Db

ALL_DAYS: Final = (dt.date(1, 1, 1), dt.date(9999, 12, 31))

SETTLED = """
SELECT class, device, country, variant, day::text AS day,
       grouping(class, device, country, variant, day) AS grouped,
       sum(clicks)::bigint AS clicks,
       coalesce(sum(clicks) FILTER (WHERE class = 0), 0)::bigint AS human
  FROM click_daily
 WHERE link_id = $1 AND day BETWEEN $2 AND $3
 GROUP BY GROUPING SETS ((), (class), (device), (country), (variant), (day))
 ORDER BY grouped, class, device, country, variant, day
"""
# grouping() has a bit for each column that the row is summed over.
COLUMNS: Final = {0b01111: "class", 0b10111: "device", 0b11011: "country", 0b11101: "variant",
                  0b11110: "day"}  # fmt: skip


class Count(msgspec.Struct, frozen=True):
    """Clicks of every class, and those of humans."""

    clicks: int = 0
    human: int = 0


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What Redis has counted since the link was made."""

    clicks: int
    human: int
    by_class: dict[str, int]


class Settled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What PostgreSQL has stored, of the days asked for; groups in the order of their names."""

    clicks: int
    human: int
    by_class: dict[str, int] | None = None
    by_device: dict[str, Count] | None = None
    by_country: dict[str, Count] | None = None
    by_variant: dict[str, Count] | None = None
    by_day: dict[str, Count] | None = None


async def live(connection: redis.Connection, link_id: str) -> Live:
    """The link's live numbers: the sum over the click partitions, asked for in one turn. The last
    one holds what was restored.
    """
    fields = [f"{link_id}:{number}" for number in range(len(classes.NAMES))]
    counts = await asyncio.gather(
        *(
            connection.call("HMGET", keys.click_counts(partition), *fields)
            for partition in range(keys.CLICK_PARTITIONS + 1)
        )
    )
    sums = [sum(int(count or 0) for count in column) for column in zip(*counts, strict=True)]
    by_class: dict[str, int] = {
        name: number for name, number in zip(classes.NAMES, sums, strict=True) if number
    }
    return Live(clicks=sum(sums), human=sums[classes.HUMAN], by_class=by_class)


async def settled(db: Db, link_id: str, first: dt.date, last: dt.date) -> Settled:
    """The link's stored clicks from `first` to `last`, both included, in all groupings."""
    total = Count()
    groups: dict[str, dict[str, Count]] = {column: {} for column in COLUMNS.values()}
    for row in await db.fetch(SETTLED, link_id, first, last):
        count = Count(row["clicks"] or 0, row["human"])
        column = COLUMNS.get(row["grouped"])
        if column is None:
            total = count
        else:
            groups[column][str(row[column])] = count
    return Settled(
        clicks=total.clicks,
        human=total.human,
        by_class={classes.NAMES[int(name)]: one.clicks for name, one in groups["class"].items()},
        by_device=groups["device"],
        by_country=groups["country"],
        by_variant=groups["variant"],
        by_day=groups["day"],
    )
