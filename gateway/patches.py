"""Bodies of PATCH: the fields of another type, each of which may be absent."""

from __future__ import annotations

from typing import Any, Union

import msgspec
from msgspec import UNSET, UnsetType


def patch_of(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A type with the fields of `kind`, absent unless given; named after it."""
    fields = [
        (field.name, Union[field.type, UnsetType], UNSET)  # noqa: UP007 - the type is a value
        for field in msgspec.structs.fields(kind)
    ]
    name = f"{kind.__name__}Patch"
    return msgspec.defstruct(name, fields, frozen=True, kw_only=True, forbid_unknown_fields=True)


def changes(patch: msgspec.Struct) -> dict[str, Any]:
    """The fields that were given."""
    values = msgspec.structs.asdict(patch)
    return {name: value for name, value in values.items() if value is not UNSET}
