"""Categories of a program. Whoever changes the tree locks the program, so that it stays a tree."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import asyncpg
import msgspec

from core import categories, errors
from core.categories import Category, CategoryConfig
from db.pg import Db

LOCK_PROGRAM = "SELECT id FROM program WHERE id = $1 FOR NO KEY UPDATE"
ALL = """
SELECT id, parent_id, slug, name, position FROM category WHERE program_id = $1
"""
SELECT = """
SELECT id, parent_id, slug, name, position FROM category WHERE program_id = $1 AND id = $2
"""
INSERT = """
INSERT INTO category (id, program_id, parent_id, slug, name, position)
VALUES ($2, $1, $3, $4, $5, $6)
"""
UPDATE = """
UPDATE category SET parent_id = $3, slug = $4, name = $5, position = $6
 WHERE program_id = $1 AND id = $2
"""
# Whoever files something in it holds its row, and is waited for.
LOCK = "SELECT id FROM category WHERE program_id = $1 AND id = $2 FOR UPDATE"
IS_USED = """
SELECT EXISTS (SELECT FROM category WHERE program_id = $1 AND parent_id = $2)
    OR EXISTS (SELECT FROM merchant WHERE program_id = $1 AND category_ids @> ARRAY[$2])
    OR EXISTS (SELECT FROM offer WHERE program_id = $1 AND category_ids @> ARRAY[$2])
"""
DELETE = "DELETE FROM category WHERE program_id = $1 AND id = $2"
HOLD = """
SELECT id FROM category WHERE program_id = $1 AND id = ANY($2::text[]) ORDER BY id FOR KEY SHARE
"""

IDS_OF = "SELECT slug, id FROM category WHERE program_id = $1 AND slug = ANY($2::text[])"


async def ids_of(db: Db, program_id: str, slugs: Collection[str]) -> dict[str, str]:
    """The ids of those of these slugs that there are."""
    rows = await db.fetch(IDS_OF, program_id, list(slugs))
    return {row["slug"]: row["id"] for row in rows}


async def all_of(db: Db, program_id: str) -> list[Category]:
    """The program's categories, in no order."""
    return [Category(**row) for row in await db.fetch(ALL, program_id)]


async def get(db: Db, program_id: str, category_id: str) -> Category:
    """The category, or CategoryNotFound."""
    row = await db.fetchrow(SELECT, program_id, category_id)
    if row is None:
        raise errors.CategoryNotFound
    return Category(**row)


async def add(db: Db, program_id: str, category_id: str, config: CategoryConfig) -> Category:
    """Store a new category; CategorySlugTaken, ProgramNotFound, and as `categories.check_place`."""
    if await db.fetchval(LOCK_PROGRAM, program_id) is None:
        raise errors.ProgramNotFound
    await _check(db, program_id, category_id, config)
    await _write(db, INSERT, program_id, category_id, config)
    return await get(db, program_id, category_id)


async def change(
    db: Db, program_id: str, category_id: str, wanted: dict[str, Any]
) -> tuple[Category, Category]:
    """Change the given fields; the category before and after. CategoryNotFound and as `add`."""
    await db.fetchval(LOCK_PROGRAM, program_id)
    before = await get(db, program_id, category_id)
    config = msgspec.structs.replace(before, **wanted)
    await _check(db, program_id, category_id, config)
    await _write(db, UPDATE, program_id, category_id, config)
    return before, config


async def delete(db: Db, program_id: str, category_id: str) -> Category:
    """Delete a category that nothing is filed in; CategoryNotFound, CategoryInUse."""
    await db.fetchval(LOCK_PROGRAM, program_id)
    gone = await get(db, program_id, category_id)
    await db.fetchval(LOCK, program_id, category_id)
    if await db.fetchval(IS_USED, program_id, category_id):
        raise errors.CategoryInUse
    await db.execute(DELETE, program_id, category_id)
    return gone


async def hold(db: Db, program_id: str, category_ids: Collection[str]) -> None:
    """Keep these categories until the transaction ends; CategoryNotFound when one is not there."""
    wanted = set(category_ids)
    if wanted:
        found = await db.fetch(HOLD, program_id, list(wanted))
        if len(found) < len(wanted):
            raise errors.CategoryNotFound


async def _check(db: Db, program_id: str, category_id: str, config: CategoryConfig) -> None:
    parents = {one.id: one.parent_id for one in await all_of(db, program_id)}
    categories.check_place(parents, category_id, config.parent_id)


async def _write(
    db: Db, statement: str, program_id: str, category_id: str, config: CategoryConfig
) -> None:
    values = (config.parent_id, config.slug, config.name, config.position)
    try:
        await db.execute(statement, program_id, category_id, *values)
    except asyncpg.UniqueViolationError:
        raise errors.CategorySlugTaken from None
