"""How the sources of a program compare, counted once an hour for the rules that ask: of each
network or link, which part of its conversions was approved, or of its clicks converted.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from core import conversions, ids
from core.conversions import Conversion
from core.fraud_sources import Key, Rate, Share
from db.pg import Db

#: A large program has millions of conversions.
TIMEOUT_S: Final = 600

WANTED: Final = """
SELECT DISTINCT r.program_id, v.condition ->> 'of' AS measure, v.condition ->> 'by' AS kind,
       (v.condition ->> 'days')::integer AS days
  FROM fraud_rule r JOIN fraud_rule_version v ON v.rule_id = r.id AND v.version = r.version
 WHERE r.deleted_at IS NULL AND v.condition ->> 'kind' = 'source_outlier'
 ORDER BY r.program_id
"""
CLEAR: Final = "DELETE FROM source_rate"
# What nobody was to be given is not counted: others found out about that.
COUNT_APPROVALS: Final = """
INSERT INTO source_rate (program_id, source_id, measure, kind, days, hits, total, other_hits,
                         other_total, counted_at)
SELECT $1, source_id, 'approvals', $2::text, $3::integer, hits, total, sum(hits) OVER () - hits,
       sum(total) OVER () - total, $4::timestamptz
  FROM (SELECT CASE $2::text WHEN 'network' THEN network_id ELSE link_id END AS source_id,
               count(*) FILTER (WHERE state IN ('approved', 'settled')) AS hits,
               count(*) AS total
          FROM conversion
         WHERE program_id = $1 AND id >= $5 AND member_id IS NOT NULL AND state <> 'pending'
         GROUP BY 1) AS own
 WHERE source_id IS NOT NULL
"""
# A click that converts twice does not count for more than one that did not.
COUNT_CONVERSIONS: Final = """
INSERT INTO source_rate (program_id, source_id, measure, kind, days, hits, total, other_hits,
                         other_total, counted_at)
SELECT $1, source_id, 'conversions', $2::text, $3::integer, hits, total, sum(hits) OVER () - hits,
       sum(total) OVER () - total, $4::timestamptz
  FROM (SELECT source_id, least(coalesce(converted.hits, 0), clicked.total) AS hits, clicked.total
          FROM (SELECT CASE $2::text WHEN 'network' THEN o.network_id ELSE l.id END AS source_id,
                       sum(d.clicks) AS total
                  FROM link l
                  JOIN click_daily d ON d.link_id = l.id AND d.program_id = l.program_id
                                    AND d.day >= $6 AND d.class = 0
                  LEFT JOIN offer o ON o.link_id = l.id AND o.program_id = l.program_id
                 WHERE l.program_id = $1
                 GROUP BY 1) AS clicked
          LEFT JOIN (SELECT CASE $2::text WHEN 'network' THEN network_id
                                           ELSE link_id END AS source_id,
                            count(*) AS hits
                       FROM conversion
                      WHERE program_id = $1 AND id >= $5 AND member_id IS NOT NULL
                      GROUP BY 1) AS converted USING (source_id)
         WHERE source_id IS NOT NULL) AS own
"""
RATES: Final = """
SELECT source_id, measure, kind, days, hits, total, other_hits, other_total
  FROM source_rate WHERE program_id = $1 AND source_id = ANY($2::text[])
"""


async def count(db: Db, now: dt.datetime) -> None:
    """Count anew for all rules there are, in the caller's transaction."""
    wanted = await db.fetch(WANTED)
    await db.execute(CLEAR)
    for program_id, measure, kind, days in wanted:
        since = now - dt.timedelta(days=days)
        since_ms = (since - conversions.EPOCH) // dt.timedelta(milliseconds=1)
        asked = (program_id, kind, days, now, ids.first("conversion", since_ms))
        if measure == "approvals":
            await db.execute(COUNT_APPROVALS, *asked, timeout=TIMEOUT_S)
        else:
            await db.execute(COUNT_CONVERSIONS, *asked, since.date(), timeout=TIMEOUT_S)


async def rates(
    db: Db, program_id: str, found: Sequence[Conversion], keys: Iterable[Key]
) -> defaultdict[str, dict[Key, Rate]]:
    """What was counted last of the sources of these conversions, by source, if anything asks."""
    known: defaultdict[str, dict[Key, Rate]] = defaultdict(dict)
    if not list(keys):
        return known
    sources = {one.network_id for one in found} | {one.link_id for one in found if one.link_id}
    for row in await db.fetch(RATES, program_id, sorted(sources)):
        key = Key(row["measure"], row["kind"], row["days"])
        own, others = Share(row["hits"], row["total"]), Share(row["other_hits"], row["other_total"])
        known[row["source_id"]][key] = Rate(own, others)
    return known
