"""Amounts as networks write them, and whole minor units. Decimal throughout, never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_DOWN, Decimal
from typing import Final

from core.providers.affiliate.report import Unreadable

#: Ten thousand million of a currency with cents; what is larger is a mistake.
AMOUNT_MAX_MINOR: Final = 10**12
_TEXT_MAX: Final = 40

# ISO 4217, where it is not two.
_EXPONENTS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


def exponent(currency: str) -> int:
    """How many decimals the currency has."""
    return _EXPONENTS.get(currency, 2)


def currency(text: str, field: str = "currency") -> str:
    """The ISO 4217 code; Unreadable for signs and names."""
    code = text.strip().upper()
    if _CURRENCY.fullmatch(code) is None:
        raise Unreadable("it is no ISO 4217 code", field, "currency_unknown")
    return code


def minor(text: str, code: str, field: str) -> int:
    """Minor units, exact; of a fraction of one, the nearest, a half toward zero.

    Fractions come from networks that multiply rates with floats: 434.99999999999994 is 435.00.
    Unreadable for what is no number, not finite, or implausibly large.
    """
    if len(text) > _TEXT_MAX or _NUMBER.fullmatch(text) is None:
        raise Unreadable("it is no number", field, "amount_implausible")
    scaled = Decimal(text).scaleb(exponent(code))
    if abs(scaled) > AMOUNT_MAX_MINOR:
        raise Unreadable("it is too large", field, "amount_implausible")
    return int(scaled.to_integral_value(ROUND_HALF_DOWN))


def text(amount_minor: int, code: str) -> str:
    """The amount in whole units with the currency's decimals, as networks write it."""
    places = exponent(code)
    return f"{Decimal(amount_minor).scaleb(-places):.{places}f}"
