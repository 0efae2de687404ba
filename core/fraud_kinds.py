"""What all kinds of fraud rules are made of: their base, and the values that they take."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

DAY_S: Final = 86_400
#: Of a member's history no more than the latest so many are looked at.
HISTORY_MAX: Final = 200

Seconds = Annotated[int, Meta(ge=1, le=400 * DAY_S)]
Window = Annotated[int, Meta(ge=60, le=400 * DAY_S)]
Count = Annotated[int, Meta(ge=1, le=HISTORY_MAX - 1)]
Minor = Annotated[int, Meta(ge=0, le=10**15)]
Percent = Annotated[int, Meta(ge=1, le=100)]


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The base of all kinds."""
