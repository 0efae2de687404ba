"""Merchants as the API takes and stores them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.categories import CategoryIds
from core.links import Host, Language, Line, Ref

Text = Annotated[str, Meta(max_length=4_000, pattern=r"^[^\x00]*$(?!\n)")]
# Only ever shown: nothing of ours fetches it.
ImageUrl = Annotated[str, Meta(max_length=2_048, pattern=r"^https://[!-~]+$(?!\n)")]


class MerchantConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A merchant to be stored; `external_id` is the caller's own.

    `hosts` are the names of the shop's pages, those below them included; `approval_days` is how
    long it takes until a purchase is approved.
    """

    name: Annotated[Line, Meta(min_length=1)]
    external_id: Ref | None = None
    state: Literal["active", "paused"] = "active"
    hosts: Annotated[tuple[Host, ...], Meta(max_length=20)] = ()
    logo_url: ImageUrl | None = None
    category_ids: CategoryIds = ()
    approval_days: Annotated[int, Meta(ge=0, le=730)] | None = None
    descriptions: Annotated[dict[Language, Text], Meta(max_length=20)] = {}
