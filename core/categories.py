"""Categories: a tree of a few levels, in which merchants and offers are filed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from core import errors
from core.links import Line, Ref, Slug

DEPTH_MAX: Final = 5
#: The whole tree is one answer.
COUNT_MAX: Final = 1_000

CategoryIds = Annotated[tuple[Ref, ...], Meta(max_length=20)]
#: The parent of each category of a program, by id.
Parents = Mapping[str, str | None]


class CategoryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A category as the API takes it. Those of one parent stand by `position`, then by name."""

    slug: Slug
    name: Annotated[Line, Meta(min_length=1)]
    parent_id: Ref | None = None
    position: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Category(CategoryConfig, frozen=True, kw_only=True):
    """A category as it is stored."""

    id: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A category with all that is below it."""

    id: str
    slug: str
    name: str
    parent_id: str | None
    position: int
    children: list[Node]


def check_place(parents: Parents, category_id: str, parent_id: str | None) -> None:
    """That a category, which may be new, can stand under a parent; CategoryNotFound for a parent
    that is none of the program's, CategoryCycle, InvalidRequest when it gets too deep or too many.
    """
    if category_id not in parents and len(parents) >= COUNT_MAX:
        raise errors.InvalidRequest(f"A program has at most {COUNT_MAX} categories.")
    if parent_id is None:
        return
    if parent_id not in parents:
        raise errors.CategoryNotFound
    above = _path(parents, parent_id)
    if category_id in above:
        raise errors.CategoryCycle
    if len(above) + _height(parents, category_id) > DEPTH_MAX:
        detail = f"The tree has at most {DEPTH_MAX} levels."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/parent_id"}])


def tree(categories: Iterable[Category]) -> list[Node]:
    """The roots, each with what is below it."""
    by_parent: dict[str | None, list[Category]] = defaultdict(list)
    for one in sorted(categories, key=lambda one: (one.position, one.name, one.id)):
        by_parent[one.parent_id].append(one)

    def nodes(parent_id: str | None) -> list[Node]:
        return [
            Node(
                id=one.id,
                slug=one.slug,
                name=one.name,
                parent_id=one.parent_id,
                position=one.position,
                children=nodes(one.id),
            )
            for one in by_parent[parent_id]
        ]

    return nodes(None)


def _path(parents: Parents, category_id: str) -> list[str]:
    """The category and all above it."""
    found = [category_id]
    while (parent_id := parents[found[-1]]) is not None:
        found.append(parent_id)
    return found


def _height(parents: Parents, category_id: str) -> int:
    """How many levels the category and what is below it take."""
    depths = [
        path.index(category_id) + 1
        for path in (_path(parents, one) for one in parents)
        if category_id in path
    ]
    return max(depths, default=1)
