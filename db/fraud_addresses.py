"""How many conversions came from one address. Of theirs clicks know a hash of the network, /24 or
/48, under the salt of their day, so those of one day are compared.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from core import clickid, conversions, ids
from core.conversions import Conversion
from db.pg import Db

#: Of a span no more than the latest so many are compared.
COMPARED_MAX: Final = 5_000

NEARBY: Final = """
SELECT c.id, c.click_id
  FROM unnest($2::text[], $3::text[]) AS w (start, stop)
 CROSS JOIN LATERAL (
       SELECT id, click_id FROM conversion
        WHERE program_id = $1 AND id >= w.start AND id <= w.stop
          AND attribution NOT IN ('', 'none') AND click_id IS NOT NULL
        ORDER BY id DESC LIMIT $4) AS c
"""
ADDRESSES: Final = """
SELECT c.click_id, c.day, c.address_hash
  FROM unnest($2::date[], $3::text[]) AS wanted (day, click_id) JOIN click c USING (day, click_id)
 WHERE c.program_id = $1 AND c.address_hash IS NOT NULL
"""

Address = tuple[dt.date, bytes]


class Span(NamedTuple):
    """From where to where ids are looked at, both included."""

    start: str
    stop: str


async def count(
    db: Db, program_id: str, found: Sequence[Conversion], windows: Sequence[int]
) -> dict[str, dict[int, int]]:
    """How many conversions came from the address of each, that one included, by window in seconds;
    those whose address is not known are not there."""
    if not found or not windows:
        return {}
    spans = merged(span(one, max(windows)) for one in found)
    columns = [one.start for one in spans], [one.stop for one in spans]
    rows = await db.fetch(NEARBY, program_id, *columns, COMPARED_MAX)
    clicks = {row["id"]: row["click_id"] for row in rows}
    addresses = await _addresses(db, program_id, set(clicks.values()))
    of_address: defaultdict[Address, list[str]] = defaultdict(list)
    for name in sorted(clicks):
        if clicks[name] in addresses:
            of_address[addresses[clicks[name]]].append(name)
    return {
        one.id: {
            window: between(of_address[addresses[clicks[one.id]]], span(one, window))
            for window in windows
        }
        for one in found
        if clicks.get(one.id) in addresses
    }


def span(found: Conversion, window_s: int) -> Span:
    """The ids of what was first seen within a window that ends with the conversion."""
    at = found.first_seen_at - dt.timedelta(seconds=window_s)
    start_ms = (at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return Span(ids.first("conversion", start_ms), found.id)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same ids in spans that do not overlap."""
    made: list[Span] = []
    for start, stop in sorted(spans):
        if made and start <= made[-1].stop:
            made[-1] = Span(made[-1].start, max(made[-1].stop, stop))
        else:
            made.append(Span(start, stop))
    return made


def between(names: Sequence[str], wanted: Span) -> int:
    """How many of these sorted ids are in the span."""
    return bisect_right(names, wanted.stop) - bisect_left(names, wanted.start)


async def _addresses(db: Db, program_id: str, names: Iterable[str]) -> dict[str, Address]:
    wanted = [clickid.decode(name) for name in sorted(names)]
    days = [conversions.moment(one.ms).date() for one in wanted]
    rows = await db.fetch(ADDRESSES, program_id, days, [one.text for one in wanted])
    return {row["click_id"]: (row["day"], row["address_hash"]) for row in rows}
