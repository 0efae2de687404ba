"""`/v1/admin/solvency`: what members are owed, against what networks owe and have paid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec
from aiohttp import web

from core import wallet
from db import money
from db.money import Total
from gateway.app import Call
from web import problem
from web.routing import Route

SOURCES: Final[tuple[wallet.Role, ...]] = (
    "receivable",
    "settled",
    "promotion",
    "claims_float",
    "referral",
)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One currency, in minor units. What came in or will come is what members are owed, were paid,
    and our part: when that is so, it is balanced. It is covered when what is left of the sources
    after all payments is at least what members are owed.
    """

    currency: str
    liabilities_minor: dict[str, int]
    owed_to_members_minor: int
    owed_by_members_minor: int
    receivable_minor: int
    settled_minor: int
    promotion_minor: int
    claims_float_minor: int
    referral_minor: int
    paid_out_minor: int
    expected_minor: int
    margin_minor: int
    bad_debt_minor: int
    is_balanced: bool
    is_covered: bool


class Solvency(msgspec.Struct, frozen=True):
    """All currencies, at one moment."""

    positions: list[Position]
    is_balanced: bool


async def get(call: Call) -> web.Response:
    """The program's position, read by one statement and so at one moment."""
    async with call.app.connection() as db:
        found = await money.totals(db, call.principal.program_id)
    positions = proof(found)
    return problem.reply(Solvency(positions, all(one.is_balanced for one in positions)))


def proof(totals: Iterable[Total]) -> list[Position]:
    """The position in each currency."""
    by_currency: dict[str, dict[str, Total]] = defaultdict(dict)
    for total in totals:
        by_currency[total.currency][total.role] = total
    return [_position(currency, roles) for currency, roles in sorted(by_currency.items())]


def _position(currency: str, totals: dict[str, Total]) -> Position:
    def total(role: str) -> int:
        return totals[role].total_minor if role in totals else 0

    owed_by = -totals["available"].below_zero_minor if "available" in totals else 0
    liabilities: dict[str, int] = {role: total(role) for role in wallet.LIABILITIES}
    liabilities["available"] += owed_by
    owed_to = sum(liabilities.values())
    sources = -sum(map(total, SOURCES))
    return Position(
        currency=currency,
        liabilities_minor=liabilities,
        owed_to_members_minor=owed_to,
        owed_by_members_minor=owed_by,
        receivable_minor=-total("receivable"),
        settled_minor=-total("settled"),
        promotion_minor=-total("promotion"),
        claims_float_minor=-total("claims_float"),
        referral_minor=-total("referral"),
        paid_out_minor=total("paid_out"),
        expected_minor=total("expected"),
        margin_minor=total("margin"),
        bad_debt_minor=-total("bad_debt"),
        is_balanced=sum(one.total_minor for one in totals.values()) == 0,
        is_covered=sources - total("paid_out") >= owed_to,
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/admin/solvency",
        handler=get,
        name="get_solvency",
        summary="What members are owed, against what networks owe and have paid, by currency",
        scope="conversions:write withdrawals:write",
        reply=Solvency,
    ),
)
