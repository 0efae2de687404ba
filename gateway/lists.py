"""Lists: `?limit=&cursor=`, answered with `{data, next_cursor}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, Protocol, TypeVar

import msgspec

from core import errors, ids

Item = TypeVar("Item")

Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Cursor = Annotated[str, msgspec.Meta(max_length=64)]


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list is asked for."""

    limit: Limit = 50
    cursor: Cursor = ""

    def after(self, kind: ids.Kind) -> str:
        """The id that the page begins behind; InvalidRequest for a cursor that no list gave."""
        if self.cursor and not ids.is_id(self.cursor, kind):
            raise bad_cursor()
        return self.cursor


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One part of a list, and the cursor of the next."""

    data: Sequence[Item]
    next_cursor: str | None


def bad_cursor() -> errors.InvalidRequest:
    """The error for a cursor that no list gave."""
    detail = "The cursor is not one that a list gave."
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "parameter": "cursor"}])


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Entry = TypeVar("Entry", bound=_HasId)


def page(found: Sequence[Entry], limit: int) -> Page[Entry]:
    """The answer, of one item more than was asked for, if there is one."""
    shown = found[:limit]
    return Page(shown, shown[-1].id if len(found) > limit else None)
