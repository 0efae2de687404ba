"""What honest clients seldom do and attackers do often: counted, so that it shows.

No refusal tells who it was; the log has the request's id, and the audit log what was changed.
"""

from __future__ import annotations

from typing import Final

from core import errors
from web import metrics

KINDS: Final[dict[type[errors.StampgateError], str]] = {
    errors.TokenInvalid: "forged_token",
    errors.ApiKeyInvalid: "forged_key",
    errors.InsufficientScope: "missing_scope",
    errors.Forbidden: "foreign_program",
    errors.AddressNotAllowed: "foreign_network",
    errors.OriginNotAllowed: "foreign_origin",
    errors.IdempotencyKeyReused: "reused_key",
    errors.BodyTooLarge: "oversized_body",
    errors.RateLimited: "flood",
}


def note(error: errors.StampgateError) -> None:
    """Count a refusal if it is of an unusual kind."""
    kind = KINDS.get(type(error))
    if kind is not None:
        metrics.unusual_use.labels(kind).inc()
