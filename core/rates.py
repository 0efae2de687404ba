"""Exchange rates, exact: minor units of one currency as those of another, rounded down."""

from __future__ import annotations

import bisect
import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from core.errors import Malformed
from core.providers.affiliate.amounts import exponent

_NUMBER: Final = re.compile(r"(?=.{1,24}\Z)\d{1,9}(\.\d{1,12})?", re.ASCII)


class BadRate(Malformed):
    """The text is no positive decimal number that a rate can be."""


class Rate(NamedTuple):
    """One unit of `source` is `rate` units of `target`, from `valid_from` on."""

    source: str
    target: str
    valid_from: dt.datetime
    rate: Decimal


def parse(text: str) -> Decimal:
    """The rate that a text says; BadRate."""
    if _NUMBER.fullmatch(text) is None or not (rate := Decimal(text)):
        raise BadRate("expected a positive decimal number, like 83.125")
    return rate


def convert(amount_minor: int, rate: Rate) -> int:
    """The amount in minor units of the rate's target, rounded down."""
    numerator, denominator = rate.rate.as_integer_ratio()
    numerator *= 10 ** exponent(rate.target)
    denominator *= 10 ** exponent(rate.source)
    converted: int = amount_minor * numerator // denominator
    return converted


class Table:
    """The rates of a program."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self._rates: dict[tuple[str, str], list[Rate]] = defaultdict(list)
        for rate in sorted(rates):
            self._rates[rate.source, rate.target].append(rate)

    def find(self, source: str, target: str, at: dt.datetime) -> Rate | None:
        """The rate that was valid then, if one was known."""
        if source == target:
            return Rate(source, target, at, Decimal(1))
        known = self._rates.get((source, target), [])
        index = bisect.bisect_right(known, at, key=lambda rate: rate.valid_from)
        return known[index - 1] if index else None
