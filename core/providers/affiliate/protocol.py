"""What we ask of an affiliate network.

A network is made from an account's configuration and credentials (`table.make`). It reaches its API
only through the `send` that it is given, and stores nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from core.http import Send
from core.providers.affiliate.report import Postback, Problem, Report

DAY_MS: Final = 86_400_000


class AffiliateNetwork(Protocol):
    """A network; all of them do this."""

    @property
    def slug(self) -> str:
        """Its name in the table."""
        ...

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """The tracking link to `destination`, which must be a full URL.

        `campaign` is the network's id of what is linked to, if it is not the account's default.
        ."""
        ...

    def read_postback(self, postback: Postback) -> Report | Problem:
        """What it says, once it has passed what the network offers to authenticate it."""
        ...

    def reply(self, report: Report | None) -> str:
        """The body, plain text, that tells the network that the postback has arrived."""
        ...

    def sample_postback(self, report: Report) -> Postback | None:
        """The postback with which it would say `report`; None if its postbacks cannot say that."""
        ...


class Terms(NamedTuple):
    """How its API wants to be asked. One page is one call, beside those for tokens; whoever gives
    `pull` its `send` keeps to `calls_per_minute`.

    A sync asks for a window that begins `look_back_ms` before the last one ended: statuses change
    late, and not every API can be asked for what has changed.
    """

    dates: tuple[str, ...]
    window_ms: int
    look_back_ms: int
    calls_per_minute: int
    rows: int
    is_daily: bool = False


class Window(NamedTuple):
    """From `start_ms` to before `end_ms`."""

    start_ms: int
    end_ms: int


class Page(msgspec.Struct, frozen=True):
    """What one call brought. `cursor` is where to go on after it, None after the last page."""

    reports: list[Report]
    problems: list[Problem]
    cursor: str | None


@runtime_checkable
class CanPull(Protocol):
    """A network that can be asked what has happened."""

    @property
    def terms(self) -> Terms:
        """How it wants to be asked."""
        ...

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All that changed in the window, page by page, each report once; PullFailed.

        `cursor` is a page's, of the same window: it goes on there.
        """
        ...


class Inquiry(NamedTuple):
    """A purchase that a member made and the network has not reported. `campaign` is the network's
    own id of what was linked to, empty for the account's default.
    """

    claim_id: str
    click_id: str
    clicked_at_ms: int | None
    campaign: str
    order_id: str
    amount_minor: int
    currency: str
    ordered_at_ms: int


@runtime_checkable
class CanInquire(Protocol):
    """A network that can be asked by its API to look into a purchase."""

    async def inquire(self, send: Send, inquiry: Inquiry) -> str:
        """Have it look into the purchase; its own id of the inquiry. Whatever is asked again under
        one claim's id is asked once. PullFailed.
        """
        ...


class PullFailed(Exception):
    """A call failed. The message is for people, and has nothing of what was sent or answered."""


class AuthRefused(PullFailed):
    """The network does not take the credentials; asking again is of no use."""


class Throttled(PullFailed):
    """Too many calls; not before `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the network wants to be asked less often")
        self.retry_after_s = retry_after_s


class Temporary(PullFailed):
    """No answer, or a `status` that says that something is wrong there; ask again later."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class BadAnswer(PullFailed):
    """An answer that is not what the API is known to give, or an address that cannot be called."""


class AnswerTooLarge(BadAnswer):
    """More than may be read at once; a shorter window has less."""


class Unaddressed(PullFailed):
    """What is asked about lacks something that the API needs."""


class BadCursor(PullFailed):
    """The place is none of this window; it has to be read from its start."""
