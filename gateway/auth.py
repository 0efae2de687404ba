"""What the bearer of a credential may do, and in which program; platform staff name it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from multidict import MultiMapping

from core import errors, ids, roles, tokens
from core.tokens import Principal
from web import proxies

Networks = Sequence[proxies.Network]

PROGRAM_HEADER: Final = "Stampgate-Program"


class Caller(NamedTuple):
    """The caller of a route. `named_program` is None when staff named none; `rate_per_minute` is
    None when the caller has no rate of its own; `session_id` is empty for whoever did not sign in
    as a person; `token_id` names the token or the API key.
    """

    named_program: str | None
    subject: str
    is_platform: bool
    role: str = "app"
    rate_per_minute: int | None = None
    session_id: str = ""
    has_second_factor: bool = False
    scopes: frozenset[str] = frozenset()
    token_id: str = ""

    @property
    def program_id(self) -> str:
        """The program that the request is about; Refused when staff did not name one."""
        if self.named_program is None:
            raise errors.Refused(f"Name the program with the header {PROGRAM_HEADER}.")
        return self.named_program

    def may(self, scope: str) -> bool:
        """Whether the caller may use a route of this scope."""
        return _may(self.scopes, self.role, scope, is_platform=self.is_platform)


ANYONE: Final = Caller(None, "", is_platform=False)


def allow(principal: Principal, headers: MultiMapping[str], scope: str) -> Caller:
    """The caller, allowed to use a route of this scope; Forbidden and what is below it.

    A scope may be several with spaces, of which one is enough.
    """
    is_platform = principal.program_id is None and tokens.PLATFORM in principal.scopes
    if not _may(principal.scopes, principal.role, scope, is_platform=is_platform):
        raise errors.InsufficientScope(f"The credential lacks the scope {scope}.")
    return Caller(
        program_of(headers, principal.program_id),
        principal.subject,
        is_platform,
        principal.role,
        principal.rate_per_minute,
        principal.session_id,
        principal.has_second_factor,
        principal.scopes,
        principal.token_id,
    )


def check_staff(caller: Caller, scope: str, address: str, networks: Networks) -> None:
    """Hold the platform's staff to its rules: from its `networks`, if there are any, and with a
    second factor, without which an admin can do nothing but see to that. AddressNotAllowed,
    SecondFactorRequired.
    """
    if not (caller.is_platform or caller.role == "admin"):
        return
    if networks and not proxies.is_in(address, networks):
        raise errors.AddressNotAllowed
    if caller.role == "admin" and not caller.has_second_factor and "self" not in scope.split():
        raise errors.SecondFactorRequired


def check_power(caller: Caller, role: roles.Role) -> None:
    """ScopeNotYours when an app would make, change or remove somebody of this role, who may do more
    than the app itself.
    """
    wanted = roles.SCOPES_OF[role] - {*tokens.OWN}
    if caller.role == "app" and not all(map(caller.may, wanted)):
        raise errors.ScopeNotYours


def _may(scopes: frozenset[str], role: str, scope: str, *, is_platform: bool) -> bool:
    """The platform's own tokens, signed on the server, may do all but what is a person's own."""
    if scope in scopes:
        return is_platform or scope != tokens.PLATFORM
    wanted = set(scope.split(" "))
    usable = scopes if is_platform else scopes - {tokens.PLATFORM}
    if not usable.isdisjoint(wanted):
        return True
    return is_platform and role == "app" and not wanted.issubset(tokens.OWN)


def program_of(headers: MultiMapping[str], own: str | None) -> str | None:
    """The program of the header, or the caller's own; Refused, Forbidden, ProgramNotFound."""
    named = headers.getall(PROGRAM_HEADER, [])
    if len(named) > 1:
        raise errors.Refused(f"The header {PROGRAM_HEADER} stands twice.")
    if not named:
        return own
    if own is not None and named[0] != own:
        raise errors.Forbidden("The token belongs to another program.")
    if not ids.is_id(named[0], "program"):
        raise errors.ProgramNotFound
    return named[0]
