"""How a source of conversions, a network or a link, compares with the others of its program."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Measure = Literal["approvals", "conversions"]
Source = Literal["network", "link"]


class Key(NamedTuple):
    """What is compared: of which share, of sources of which kind, over how many days."""

    of: Measure
    by: Source
    days: int


class Share(NamedTuple):
    """So many of `total` were approved, or so many clicks of `total` converted."""

    hits: int
    total: int


class Rate(NamedTuple):
    """The share of a source, and of all others of its kind in the program."""

    own: Share
    others: Share


def sigmas_above(rate: Rate) -> float:
    """By how many standard errors the source's share is above that of the others; below zero when
    it is below. Two shares that are alike differ by more than 3 once in 740 times.
    """
    own, others = rate
    if not own.total or not others.total:
        return 0.0
    pooled = (own.hits + others.hits) / (own.total + others.total)
    error = math.sqrt(pooled * (1 - pooled) * (1 / own.total + 1 / others.total))
    return (own.hits / own.total - others.hits / others.total) / error if error else 0.0
