"""Who is calling, in whose name: a bearer token, and for platform staff the program's header."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from multidict import MultiMapping

from core import errors, ids, tokens

PROGRAM_HEADER: Final = "Stampgate-Program"


class Caller(NamedTuple):
    """The caller of a route. `named_program` is None when staff named none; `rate_per_minute` is
    None when the caller has no rate of its own; `session_id` is empty for whoever did not sign in
    as a person.
    """

    named_program: str | None
    subject: str
    is_platform: bool
    role: str = "app"
    rate_per_minute: int | None = None
    session_id: str = ""
    has_second_factor: bool = False

    @property
    def program_id(self) -> str:
        """The program that the request is about; Refused when staff did not name one."""
        if self.named_program is None:
            raise errors.Refused(f"Name the program with the header {PROGRAM_HEADER}.")
        return self.named_program


ANYONE: Final = Caller(None, "", is_platform=False)


class Verifier(Protocol):
    """Says whose a token is."""

    def verify(self, token: str, now_s: int) -> tokens.Principal: ...


def authenticate(
    verifier: Verifier, headers: MultiMapping[str], scope: str | None, now_s: int
) -> Caller:
    """The caller, allowed to use a route of this scope; Unauthorized, Forbidden.

    A scope may be several with spaces, of which one is enough. Staff with `platform:admin` may do
    everything in the program that they name, except for what is another person's own.
    """
    if scope is None:
        return ANYONE
    principal = verifier.verify(_bearer(headers), now_s)
    is_platform = principal.program_id is None and tokens.PLATFORM in principal.scopes
    if scope not in principal.scopes and not _may(principal, scope, is_platform=is_platform):
        raise errors.InsufficientScope(f"The token lacks the scope {scope}.")
    return Caller(
        program_of(headers, principal.program_id),
        principal.subject,
        is_platform,
        principal.role,
        principal.rate_per_minute,
        principal.session_id,
        principal.has_second_factor,
    )


def _may(principal: tokens.Principal, scope: str, *, is_platform: bool) -> bool:
    wanted = scope.split(" ")
    is_own = not principal.scopes.isdisjoint(wanted)
    return is_own or (is_platform and set(tokens.OWN).isdisjoint(wanted))


def _bearer(headers: MultiMapping[str]) -> str:
    values = headers.getall("Authorization", [])
    if len(values) != 1:
        raise errors.Unauthorized("Send one Authorization header with a bearer token.")
    kind, _, token = values[0].partition(" ")
    if kind.lower() != "bearer" or not token:
        raise errors.Unauthorized("The Authorization header must be Bearer and a token.")
    return token.strip(" ")


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
