"""Roles, and the scopes that each of them carries. The route table says which scope a route needs.

member     a person in a program, who sees and changes what is their own
staff      works for a program: sees all, awards and redeems, looks after members; pays nobody, and
           never touches how somebody signs in
owner      runs a program: all that the program's own data allows
admin      platform staff: programs, operators and the audit log of each, and nothing else of them
           unless they break the glass, which gives BREAK_GLASS in one program for an hour at most
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
    *("offers:read", "wallet:read", "withdrawals:read", "conversions:read"),
}
OWNER: Final = OPERATOR | frozenset(tokens.SCOPES) - {tokens.PLATFORM}
ADMIN: Final = OPERATOR | {
    *(tokens.PLATFORM, "programs:read", "programs:write", "audit:read"),
    *("operators:read", "operators:write"),
}
# Nothing with it that would outlast it (keys, people, endpoints that go on being told), and
# nobody is paid with it.
BREAK_GLASS: Final = (
    OWNER
    - OPERATOR
    - {"keys:write", "operators:write", "webhooks:write"}
    - {"withdrawals:write", "withdrawals:approve"}
)

SCOPES_OF: Final[dict[Role, frozenset[str]]] = {
    "member": MEMBER,
    "staff": STAFF,
    "owner": OWNER,
    "admin": ADMIN,
    "app": frozenset(tokens.SCOPES),
}
