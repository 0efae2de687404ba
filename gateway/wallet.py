"""`/v1/wallet` and `/v1/members/{id}/wallet`: a member's money, and how it came about."""

from __future__ import annotations

import msgspec
from aiohttp import web

from core import errors
from core.money import Currency
from db import members, programs, wallets
from db.pg import Db
from db.wallets import Account, Place, Purse, WalletLine
from gateway import lists
from gateway.app import Call
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route


class Wallet(msgspec.Struct, frozen=True):
    """A member's money, the program's currency first."""

    member: str
    balances: list[Purse]


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of which statement; the currency is the program's unless it is named."""

    account: Account = "available"
    currency: Currency | None = None


async def get(call: Call) -> web.Response:
    """What the member has."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db, db.transaction(isolation="repeatable_read"):
        currency = await _currency(db, program_id, member_id)
        found = await wallets.purses(db, program_id, member_id, currency)
    return problem.reply(Wallet(member_id, found))


async def statement(call: Call) -> web.Response:
    """The changes of one of the member's accounts, the newest first."""
    search = problem.decode_query(Search, call.query)
    before = _before(search.cursor)
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        currency = search.currency or await _currency(db, program_id, member_id)
        found = await wallets.statement(
            db,
            program_id,
            member_id,
            search.account,
            currency,
            before=before,
            limit=search.limit + 1,
        )
    return problem.reply(lists.page(found, search.limit))


async def _currency(db: Db, program_id: str, member_id: str) -> str:
    """The program's currency; MemberNotFound."""
    if not await members.exists(db, program_id, member_id):
        raise errors.MemberNotFound
    return (await programs.get(db, program_id)).currency


def _before(cursor: str) -> Place:
    if not cursor:
        return Place()
    try:
        return wallets.parse_line_id(cursor)
    except ValueError:
        raise lists.bad_cursor() from None


def _routes(base: str, prefix: str, *, scope: str, whose: str) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path=base,
            handler=get,
            name=f"get_{prefix}wallet",
            summary=f"What {whose} has: available, held, pending and earned, by currency",
            scope=scope,
            reply=Wallet,
            errors=(errors.MemberNotFound,),
        ),
        Route(
            method="GET",
            path=f"{base}/transactions",
            handler=statement,
            name=f"list_{prefix}wallet_transactions",
            summary=f"How the money of {whose} came about, the newest first, with balances",
            scope=scope,
            query=Search,
            reply=lists.Page[WalletLine],
            errors=(errors.MemberNotFound,),
        ),
    )


ROUTES: tuple[Route, ...] = (
    *_routes("/v1/wallet", "my_", scope=OWN, whose="the member who asks"),
    *_routes("/v1/members/{member_id}/wallet", "member_", scope="wallet:read", whose="a member"),
)
