"""What providers report about messages, in one form.

    accepted → sent → delivered → read → undelivered · bounced → complained

A report moves a message forward only: the same one twice, or an older one late, changes nothing. A
failure may come after a delivery, because mail servers take what they cannot hand on.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from core.providers.protocols import About

Delivery = Literal["accepted", "sent", "delivered", "read", "undelivered", "bounced", "complained"]

#: From the first to the last.
ORDER: Final[tuple[Delivery, ...]] = get_args(Delivery)
#: After these it will not arrive any more.
LOST: Final[frozenset[Delivery]] = frozenset({"undelivered", "bounced"})
DETAIL_LENGTH_MAX: Final = 120


class Report(NamedTuple):
    """One report. The message is named by our id, or by the provider's. `about` tells what else
    follows: that nothing arrives at the address any more, or that its owner wants nothing more, as
    was said at `at_ms`.
    """

    delivery: Delivery | None
    notification_id: str = ""
    reference: str = ""
    about: About = "message"
    detail: str = ""
    at_ms: int | None = None


def detail(text: object) -> str:
    """A code of theirs for the record: their sentences may repeat addresses."""
    plain = str(text)[:DETAIL_LENGTH_MAX]
    is_code = plain.isascii() and all(one.isalnum() or one in "._-:/" for one in plain)
    return plain if is_code else ""
