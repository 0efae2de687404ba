"""Links, and their snapshots in Redis.

A snapshot carries the version of the row it was made of, and Redis keeps the highest. The version
is drawn last, when the row holds its slug: whoever gets a slug after it was given up draws a higher
one, so the versions of a slug rise in the order of the commits.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, links, tasks
from core.links import LinkConfig
from db import keys, outbox, redis, snapshot, stats
from db.pg import Db, Pool

SLUG_TRIES: Final = 5
PUBLISH_BATCH: Final = 500

# In the order of the slugs, so that two transactions take them in the same order.
INSERT = """
INSERT INTO link (id, program_id, slug, external_id, config, password_hash, version)
SELECT id, $1, slug, external_id, config::jsonb, password_hash, 0
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
       AS item (id, slug, external_id, config, password_hash)
 ORDER BY slug
    ON CONFLICT DO NOTHING
RETURNING id
"""
DRAW_VERSIONS = """
UPDATE link SET version = nextval('link_version') WHERE id = ANY($1::text[])
RETURNING id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
"""
TAKEN_SLUGS = "SELECT slug FROM link WHERE slug = ANY($1::text[])"
SELECT = """
SELECT id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
  FROM link WHERE id = $2 AND program_id = $1
"""
SELECT_FOR_UPDATE = """
SELECT id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
  FROM link WHERE id = $2 AND program_id = $1 FOR UPDATE
"""
SELECT_BY_EXTERNAL_ID = """
SELECT id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
  FROM link WHERE external_id = $2 AND program_id = $1 FOR UPDATE
"""
SELECT_BY_SLUG = """
SELECT id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
  FROM link WHERE slug = $1
"""
UPDATE = """
UPDATE link
   SET slug = $2, external_id = $3, config = $4, password_hash = $5, updated_at = now()
 WHERE id = $1
"""
# In the order of the ids, always: of two who need the same links one waits, never both.
HOLD = """
SELECT id FROM link WHERE program_id = $1 AND id = ANY($2::text[]) ORDER BY id FOR NO KEY UPDATE
"""
REPLACE = """
UPDATE link SET config = item.config::jsonb, updated_at = now()
  FROM unnest($2::text[], $3::text[]) AS item (id, config)
 WHERE link.id = item.id AND link.program_id = $1
RETURNING link.id
"""
DELETE = """
DELETE FROM link WHERE id = $2 AND program_id = $1
RETURNING slug, nextval('link_version') AS version
"""
PAGE = """
SELECT id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
  FROM link
 WHERE program_id = $1 AND id > $2
   AND ($4::text IS NULL OR external_id = $4) AND ($5::text IS NULL OR slug = $5)
 ORDER BY id LIMIT $3
"""
ALL = """
SELECT id, program_id, slug, external_id, config, password_hash, version, created_at, updated_at
  FROM link WHERE id > $1 ORDER BY id LIMIT $2
"""
COUNT = "SELECT count(*) FROM link"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link as it is stored; `config` has the slug and the external id, never a password."""

    id: str
    program_id: str
    config: LinkConfig
    password_hash: str | None
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime

    @property
    def slug(self) -> str:
        """The slug, which a stored link always has."""
        assert self.config.slug is not None
        return self.config.slug


class Draft(NamedTuple):
    """A link to be stored: a validated config, whose slug may be left to us."""

    id: str
    config: LinkConfig
    password_hash: str | None


class Publication(NamedTuple):
    """What the redirectors shall see under a slug; an empty blob means nothing. `capped` is the
    link's id if it has a cap.
    """

    slug: str
    version: int
    blob: bytes
    capped: str | None = None


async def add(db: Db, program_id: str, draft: Draft, random_slug: Callable[[], str]) -> Link:
    """Store a new link; SlugTaken, ExternalIdTaken, ProgramNotFound."""
    stored = (await add_many(db, program_id, [draft], random_slug))[draft.id]
    if isinstance(stored, errors.Conflict):
        raise stored
    return stored


async def add_many(
    db: Db, program_id: str, drafts: Sequence[Draft], random_slug: Callable[[], str]
) -> dict[str, Link | errors.Conflict]:
    """Store links by their ids, with what stood in the way of those that could not be."""
    named = {
        draft.id: draft._replace(config=_with_slug(draft.config, random_slug)) for draft in drafts
    }
    inserted = await _insert(db, program_id, list(named.values()))
    for _ in range(SLUG_TRIES):
        unlucky = [one.id for one in drafts if one.config.slug is None and one.id not in inserted]
        if not unlucky:
            break
        for link_id in unlucky:
            config = msgspec.structs.replace(named[link_id].config, slug=random_slug())
            named[link_id] = named[link_id]._replace(config=config)
        inserted |= await _insert(db, program_id, [named[link_id] for link_id in unlucky])
    stored: dict[str, Link | errors.Conflict] = {}
    stored |= await _draw_versions(db, inserted)
    refused = [draft for draft in named.values() if draft.id not in inserted]
    return stored | await _reasons(db, refused)


async def get(db: Db, program_id: str, link_id: str) -> Link:
    """The link, or LinkNotFound."""
    return _link(await db.fetchrow(SELECT, program_id, link_id))


async def lock(db: Db, program_id: str, link_id: str) -> Link:
    """The link, kept from changing until the transaction ends; or LinkNotFound."""
    return _link(await db.fetchrow(SELECT_FOR_UPDATE, program_id, link_id))


async def lock_by_external_id(db: Db, program_id: str, external_id: str) -> Link | None:
    """As `lock`; None when there is none."""
    row = await db.fetchrow(SELECT_BY_EXTERNAL_ID, program_id, external_id)
    return None if row is None else _link(row)


async def by_slug(db: Db, slug: str) -> Link | None:
    """The link that holds a slug, of whatever program."""
    row = await db.fetchrow(SELECT_BY_SLUG, slug)
    return None if row is None else _link(row)


async def change(
    db: Db, present: Link, config: LinkConfig, password_hash: str | None
) -> tuple[Link, list[Publication]]:
    """Store a locked link's new config, whose slug is given; SlugTaken, ExternalIdTaken."""
    try:
        await db.execute(
            UPDATE, present.id, config.slug, config.external_id, _json(config), password_hash
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "link_slug_is_unique":
            raise errors.SlugTaken from None
        raise errors.ExternalIdTaken from None
    changed = (await _draw_versions(db, [present.id]))[present.id]
    publications = [publication(changed)]
    if changed.slug != present.slug:
        publications.append(Publication(present.slug, changed.version, b""))
        await outbox.add(db, tasks.PublishLink(present.slug, changed.version))
    return changed, publications


async def hold(db: Db, program_id: str, link_ids: Sequence[str]) -> None:
    """Keep these links from changing until the transaction ends."""
    await db.fetch(HOLD, program_id, link_ids)


async def replace(db: Db, program_id: str, configs: Mapping[str, LinkConfig]) -> list[Publication]:
    """Store new configs of links by their ids; slugs and external ids stay as they are."""
    await hold(db, program_id, list(configs))
    texts = list(map(_json, configs.values()))
    rows = await db.fetch(REPLACE, program_id, list(configs), texts)
    changed = await _draw_versions(db, [row["id"] for row in rows])
    return list(map(publication, changed.values()))


async def upsert(
    db: Db, program_id: str, draft: Draft, random_slug: Callable[[], str]
) -> tuple[Link, list[Publication]]:
    """Store a link or replace the one with its external id; SlugTaken, ProgramNotFound.

    What the draft leaves open, slug and password, stays as it is.
    """
    external_id = draft.config.external_id
    assert external_id is not None
    present = await lock_by_external_id(db, program_id, external_id)
    if present is None:
        made = (await add_many(db, program_id, [draft], random_slug))[draft.id]
        if isinstance(made, Link):
            return made, [publication(made)]
        # Another transaction has stored one with this external id meanwhile.
        present = await lock_by_external_id(db, program_id, external_id)
        if present is None or isinstance(made, errors.SlugTaken):
            raise made
    config = msgspec.structs.replace(draft.config, slug=draft.config.slug or present.slug)
    is_kept = config.password is msgspec.UNSET
    return await change(
        db, present, config, present.password_hash if is_kept else draft.password_hash
    )


async def delete(db: Db, program_id: str, link_id: str) -> Publication:
    """Delete the link, whose clicks stay; LinkNotFound."""
    row = await db.fetchrow(DELETE, program_id, link_id)
    if row is None:
        raise errors.LinkNotFound
    await outbox.add(db, tasks.PublishLink(row["slug"], row["version"]))
    return Publication(row["slug"], row["version"], b"")


async def page(
    db: Db,
    program_id: str,
    *,
    after: str,
    limit: int,
    external_id: str | None = None,
    slug: str | None = None,
) -> list[Link]:
    """Up to `limit` links with ids beyond `after`, oldest first."""
    rows = await db.fetch(PAGE, program_id, after, limit, external_id, slug)
    return [_link(row) for row in rows]


def publication(link: Link) -> Publication:
    """What the redirectors shall see of a link."""
    compiled = links.compile_snapshot(
        link.id, link.program_id, link.version, link.config, link.password_hash
    )
    capped = None if link.config.cap is None else link.id
    return Publication(link.slug, link.version, links.encode(compiled), capped)


async def publish(connection: redis.Connection, publications: Iterable[Publication]) -> int:
    """Put snapshots before the redirectors, unless newer ones are there; how many were news."""
    wanted = list(publications)
    await _open_caps(connection, [one.capped for one in wanted if one.capped is not None])
    news = 0
    # A whole file at once would leave no room on the connection for the awards that share it.
    for start in range(0, len(wanted), PUBLISH_BATCH):
        portion = wanted[start : start + PUBLISH_BATCH]
        sent = [snapshot.publish(connection, one.slug, one.version, one.blob) for one in portion]
        news += sum(await asyncio.gather(*sent))
    return news


async def _open_caps(connection: redis.Connection, link_ids: Sequence[str]) -> None:
    """Start the counters of links that have just got a cap; what they gave before counts.

    A Redis that lost its counters is left to `recovery`, which knows what they stood at.
    """
    if not link_ids or not await connection.call("EXISTS", keys.INSTALLED):
        return
    there = await asyncio.gather(
        *(connection.call("EXISTS", keys.link_cap(link_id)) for link_id in link_ids)
    )
    for link_id, is_there in zip(link_ids, there, strict=True):
        if not is_there:
            used = (await stats.live(connection, link_id)).clicks
            await connection.call("SETNX", keys.link_cap(link_id), used)


async def republish(db: Db, connection: redis.Connection, task: tasks.PublishLink) -> None:
    """Put before the redirectors what PostgreSQL has under a slug: the outbox's second try."""
    link = await by_slug(db, task.slug)
    gone = Publication(task.slug, task.version, b"")
    await publish(connection, [gone if link is None else publication(link)])


async def publish_all(
    db: Db | Pool, connection: redis.Connection, progress: Callable[[int, int], None]
) -> int:
    """Publish every link, for a Redis that lost them; `progress` gets done and total."""
    total = await db.fetchval(COUNT)
    done, after = 0, ""
    while rows := await db.fetch(ALL, after, PUBLISH_BATCH):
        await publish(connection, [publication(_link(row)) for row in rows])
        done, after = done + len(rows), rows[-1]["id"]
        progress(done, total)
    return done


async def _insert(db: Db, program_id: str, drafts: Sequence[Draft]) -> set[str]:
    try:
        rows = await db.fetch(
            INSERT,
            program_id,
            [draft.id for draft in drafts],
            [draft.config.slug for draft in drafts],
            [draft.config.external_id for draft in drafts],
            [_json(draft.config) for draft in drafts],
            [draft.password_hash for draft in drafts],
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return {row["id"] for row in rows}


async def _draw_versions(db: Db, link_ids: Iterable[str]) -> dict[str, Link]:
    """The links with new versions, which the outbox will see published."""
    rows = await db.fetch(DRAW_VERSIONS, list(link_ids))
    await outbox.add_many(db, [tasks.PublishLink(row["slug"], row["version"]) for row in rows])
    return {row["id"]: _link(row) for row in rows}


async def _reasons(db: Db, refused: Sequence[Draft]) -> dict[str, errors.Conflict]:
    if not refused:
        return {}
    rows = await db.fetch(TAKEN_SLUGS, [draft.config.slug for draft in refused])
    taken = {row["slug"] for row in rows}
    return {
        draft.id: errors.SlugTaken() if draft.config.slug in taken else errors.ExternalIdTaken()
        for draft in refused
    }


def _with_slug(config: LinkConfig, random_slug: Callable[[], str]) -> LinkConfig:
    return config if config.slug else msgspec.structs.replace(config, slug=random_slug())


def _json(config: LinkConfig) -> str:
    """The config without what has its own column."""
    bare = msgspec.structs.replace(config, slug=None, external_id=None, password=msgspec.UNSET)
    return msgspec.json.encode(bare).decode()


def _link(row: asyncpg.Record | None) -> Link:
    if row is None:
        raise errors.LinkNotFound
    config = msgspec.structs.replace(
        msgspec.json.decode(row["config"], type=LinkConfig),
        slug=row["slug"],
        external_id=row["external_id"],
    )
    return Link(
        id=row["id"],
        program_id=row["program_id"],
        config=config,
        password_hash=row["password_hash"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
