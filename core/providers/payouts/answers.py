"""What answers about a payout prove, and what is passed on of names and reasons."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from core import withdrawals
from core.providers.payouts.protocol import Found, News, NotFound, Paying, Payout, plain
from core.providers.protocols import Unknown

CURRENCY: Final = "INR"
#: One rupee, below which neither provider pays.
LEAST_MINOR: Final = 100
#: Above this IMPS takes nothing; ₹500,000.00.
IMPS_MAX_MINOR: Final = 50_000_000

# Reasons are shown and stored: where money was to go is not for them.
_PRIVATE: Final = re.compile(r"\S*@\S*|(?:[0-9][ -]?){6,}|\b[A-Z]{4}0[A-Z0-9]{6}\b")


def about(payout: Payout, news: News) -> News | Unknown:
    """The news, if they are of this very payout; whoever asked compares the amount."""
    return news if news.id == payout.id else Unknown("an answer about another payout")


def confirmed(found: Found, said: Paying) -> Paying:
    """What was said to an attempt to pay, if the provider knows nothing of our id; if it does, an
    attempt before this one had arrived.
    """
    return said if isinstance(found, NotFound) else found


def refused(payout: Payout, text: str) -> News:
    """That it will not be paid, and why."""
    return News(id=payout.id, state="failed", reason=reason("failed", text))


def impossible(payout: Payout, name: str) -> News | None:
    """Why neither provider can pay it, whose holder's name was cut down to `name`; or None."""
    if payout.currency != CURRENCY:
        return refused(payout, "Only rupees can be paid out.")
    if payout.amount_minor < LEAST_MINOR:
        return refused(payout, "Less than one rupee cannot be paid out.")
    return None if name else refused(payout, "The bank cannot write the holder's name.")


def reason(state: withdrawals.News, text: str) -> str:
    """Why it came to nothing, without addresses and numbers of accounts."""
    return "" if state in {"under_way", "paid"} else plain(_PRIVATE.sub("…", text))


def fitted(name: str, dropped: re.Pattern[str], most: int) -> str:
    """The name in the letters that banks write: without accents, other signs as spaces."""
    letters = unicodedata.normalize("NFKD", name)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(dropped.sub(" ", bare).split())[:most].strip()
