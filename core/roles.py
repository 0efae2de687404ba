"""Roles, and the scopes that each of them carries. The route table says which scope a route needs.

member     a person in a program, who sees and changes what is their own
staff      works for a program: sees all, awards and redeems, looks after members
owner      runs a program: all that the program's own data allows
admin      platform staff, in every program that they name
app        a program of the program's: an API key or a token, with the scopes it was given
"""

from __future__ import annotations

from typing import Final, Literal

from core import tokens

Role = Literal["member", "staff", "owner", "admin", "app"]

MEMBER: Final = frozenset({"me"})
OPERATOR: Final = frozenset({"self"})
STAFF: Final = OPERATOR | {
    *("links:read", "clicks:read", "members:read", "members:write"),
    *("awards:read", "awards:write", "programs:read", "webhooks:read"),
}
OWNER: Final = OPERATOR | frozenset(tokens.SCOPES) - {tokens.PLATFORM}
ADMIN: Final = OWNER | {tokens.PLATFORM}

SCOPES_OF: Final[dict[Role, frozenset[str]]] = {
    "member": MEMBER,
    "staff": STAFF,
    "owner": OWNER,
    "admin": ADMIN,
    "app": frozenset(tokens.SCOPES),
}
