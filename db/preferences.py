"""What members want to hear by which channel, and their quiet hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from core import errors, preferences
from core.preferences import QuietHours, Unwanted
from core.templates import Channel, Topic
from db.pg import Db

#: The topic under which a provider's word counts, for all that is sent by the channel.
ALL: Final = "all"
SaidBy = Literal["member", "link", "provider"]

# The lock keeps an erasure from passing by, which would leave these rows behind.
MEMBER: Final = """
SELECT id FROM member WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
"""
UNWANTED: Final = """
SELECT topic, channel, said_by, updated_at FROM notification_preference
 WHERE program_id = $1 AND member_id = $2 AND NOT is_wanted ORDER BY topic, channel
"""
QUIET: Final = """
SELECT program.time_zone, begins_minute, ends_minute
  FROM program LEFT JOIN quiet_hours
    ON quiet_hours.program_id = program.id AND quiet_hours.member_id = $2
 WHERE program.id = $1
"""
# What is wanted again keeps its row, so that an older word of a provider does not undo it.
FORGET: Final = """
UPDATE notification_preference SET is_wanted = true, said_by = 'member', updated_at = now()
 WHERE program_id = $1 AND member_id = $2 AND NOT is_wanted
"""
# Of two words the later counts.
SAY: Final = """
INSERT INTO notification_preference (member_id, program_id, topic, channel, is_wanted, said_by,
                                     updated_at)
SELECT id, program_id, $3, $4, $5, $6, coalesce(to_timestamp($7::bigint / 1000.0), now())
  FROM member WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
    ON CONFLICT (member_id, topic, channel) DO UPDATE
   SET is_wanted = excluded.is_wanted, said_by = excluded.said_by, updated_at = excluded.updated_at
 WHERE notification_preference.updated_at <= excluded.updated_at
"""
BE_QUIET: Final = """
INSERT INTO quiet_hours (member_id, program_id, begins_minute, ends_minute)
VALUES ($2, $1, $3, $4)
    ON CONFLICT (member_id) DO UPDATE
   SET begins_minute = excluded.begins_minute, ends_minute = excluded.ends_minute,
       updated_at = now()
"""
NEVER_QUIET: Final = "DELETE FROM quiet_hours WHERE program_id = $1 AND member_id = $2"
STANDING: Final = """
SELECT program.time_zone, begins_minute, ends_minute,
       EXISTS (SELECT FROM notification_preference
                WHERE program_id = $1 AND member_id = $2 AND channel = $3 AND topic IN ($4, 'all')
                  AND NOT is_wanted) AS is_unwanted,
       EXISTS (SELECT FROM member_contact
                WHERE program_id = $1 AND member_id = $2 AND hash = ANY($5::bytea[])
                  AND unreachable_at IS NOT NULL) AS is_unreachable
  FROM program LEFT JOIN quiet_hours
    ON quiet_hours.program_id = program.id AND quiet_hours.member_id = $2
 WHERE program.id = $1
"""
UNWANTED_CHANNELS: Final = """
SELECT DISTINCT channel FROM notification_preference
 WHERE program_id = $1 AND member_id = $2 AND topic IN ($3, 'all') AND NOT is_wanted
"""


class Said(msgspec.Struct, frozen=True):
    """What is not wanted, and who said so when. The topic `all` came from a provider."""

    topic: str
    channel: Channel
    said_by: SaidBy
    updated_at: dt.datetime


class Preferences(NamedTuple):
    """What a member has said. The hours are of the program's `time_zone`."""

    unwanted: list[Said]
    quiet_hours: QuietHours | None
    time_zone: str


class Standing(NamedTuple):
    """How a message to a member stands."""

    is_unwanted: bool
    is_unreachable: bool
    quiet_until_ms: int | None


async def get(db: Db, program_id: str, member_id: str) -> Preferences:
    """What the member has said; ProgramNotFound."""
    row = await db.fetchrow(QUIET, program_id, member_id)
    if row is None:
        raise errors.ProgramNotFound
    hours = None
    if row["begins_minute"] is not None:
        begins, ends = row["begins_minute"], row["ends_minute"]
        hours = QuietHours(preferences.clock(begins), preferences.clock(ends))
    found = [Said(**one) for one in await db.fetch(UNWANTED, program_id, member_id)]
    return Preferences(found, hours, row["time_zone"])


async def put(
    db: Db,
    program_id: str,
    member_id: str,
    unwanted: Sequence[Unwanted],
    quiet_hours: QuietHours | None,
) -> None:
    """Put this in the place of all that was said, in the caller's transaction; MemberNotFound."""
    if await db.fetchval(MEMBER, program_id, member_id) is None:
        raise errors.MemberNotFound
    await db.execute(FORGET, program_id, member_id)
    for one in unwanted:
        await say(db, program_id, member_id, one.topic, one.channel)
    if quiet_hours is None:
        await db.execute(NEVER_QUIET, program_id, member_id)
    else:
        begins, ends = map(preferences.minute, (quiet_hours.begins, quiet_hours.ends))
        await db.execute(BE_QUIET, program_id, member_id, begins, ends)


async def say(
    db: Db,
    program_id: str,
    member_id: str,
    topic: Topic | Literal["all"],
    channel: Channel,
    *,
    is_wanted: bool = False,
    said_by: SaidBy = "member",
    at_ms: int | None = None,
) -> None:
    """Note one word about a topic and a channel, said at `at_ms` or now; nothing when a later one
    is known, or the member is gone.
    """
    await db.execute(SAY, program_id, member_id, topic, channel, is_wanted, said_by, at_ms)


async def unwanted(db: Db, program_id: str, member_id: str, topic: Topic) -> set[Channel]:
    """By which channels the member wants no messages of this topic."""
    rows = await db.fetch(UNWANTED_CHANNELS, program_id, member_id, topic)
    return {row["channel"] for row in rows}


async def standing(
    db: Db,
    program_id: str,
    member_id: str,
    *,
    topic: Topic,
    channel: Channel,
    hashes: Sequence[bytes],
    now_ms: int,
) -> Standing:
    """How a message of this topic stands now; `hashes` are those of the contact it goes to."""
    row = await db.fetchrow(STANDING, program_id, member_id, channel, topic, list(hashes))
    if row is None:
        return Standing(is_unwanted=False, is_unreachable=False, quiet_until_ms=None)
    until_ms = None
    if row["begins_minute"] is not None:
        until_ms = preferences.quiet_until_ms(
            row["begins_minute"], row["ends_minute"], row["time_zone"], now_ms
        )
    return Standing(row["is_unwanted"], row["is_unreachable"], until_ms)
