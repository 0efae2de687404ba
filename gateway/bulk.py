"""Bulk routes: up to 1,000 items in one body, each with its own answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from core import errors
from web import problem

Item = TypeVar("Item")
Drafted = TypeVar("Drafted")

ITEMS_MAX: Final = 1_000
BODY_LIMIT: Final = 8 << 20


class Items(msgspec.Struct, Generic[Item], frozen=True, forbid_unknown_fields=True):
    """The body. Each item is decoded by itself, so that a bad one spoils no other."""

    items: Annotated[list[Item], msgspec.Meta(min_length=1, max_length=ITEMS_MAX)]


class ItemError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item was refused, as a problem document says it."""

    code: str
    detail: str
    errors: list[dict[str, str]] | None = None


class ItemAnswer(msgspec.Struct, Generic[Item], frozen=True, omit_defaults=True):
    """The answer to one item: a status, and the thing that was made or the error."""

    status: int
    data: Item | None = None
    error: ItemError | None = None
    replayed: bool = False


class Answers(msgspec.Struct, Generic[Item], frozen=True):
    """One answer for each item, in their order."""

    data: Sequence[ItemAnswer[Item]]


_raw_items: Final = msgspec.json.Decoder(Items[msgspec.Raw])


def drafts(
    body: bytes, decoder: msgspec.json.Decoder[Item], draft: Callable[[Item], Drafted]
) -> list[Drafted | errors.StampgateError]:
    """What `draft` makes of each item, or why it is refused; raises for a bad body as a whole."""

    def one(raw: msgspec.Raw) -> Drafted | errors.StampgateError:
        try:
            return draft(problem.decode(decoder, bytes(raw), is_checked=True))
        except errors.StampgateError as error:
            return error

    # A key that stands twice or a U+0000 is looked for here, once for all items.
    return [one(raw) for raw in problem.decode(_raw_items, body).items]


def drafts_at_once(
    body: bytes,
    decoder: msgspec.json.Decoder[Items[Item]],
    quotes: Callable[[Item], int],
    draft: Callable[[Item], Drafted],
) -> list[Drafted | errors.StampgateError] | None:
    """`drafts` of a body whose items are all well-formed, several times as fast; None for others.

    `quotes` as in `problem.decode`.
    """

    def one(item: Item) -> Drafted | errors.StampgateError:
        try:
            return draft(item)
        except errors.StampgateError as error:
            return error

    try:
        items = decoder.decode(body).items
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    needed = 2 + sum(map(quotes, items))
    if not body.isascii() or b"\\" in body or body.count(b'"') != needed:
        return None
    return [one(item) for item in items]


def answer(made: Any | errors.StampgateError, *, is_replay: bool = False) -> ItemAnswer[Any]:
    """The answer for what was made of an item, now or the first time."""
    if isinstance(made, errors.StampgateError):
        return ItemAnswer(made.status, error=ItemError(made.code, made.detail, made.errors))
    return ItemAnswer(201, data=made, replayed=is_replay)
