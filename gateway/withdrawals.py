"""`/v1/withdrawals`: members ask to be paid, operators decide, and pay by hand if no provider does.

A member sees and cancels what is the member's own; operators see all of the program.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, payout_methods, tasks, withdrawals
from core.links import Line
from core.withdrawals import State
from db import kyc, members, money, outbox, programs
from db import payout_methods as methods
from db import withdrawals as stored
from db.pg import Db
from db.withdrawals import Act, Wanted, Withdrawal
from gateway import answers, auditing, lists, notices
from gateway.app import Call, read, read_as
from gateway.lookups import moment
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route

Amount = Annotated[int, Meta(gt=0, le=10**15)]
Reason = Annotated[Line, Meta(min_length=1)]
# What banks write: letters, digits and a few signs.
Utr = Annotated[str, Meta(pattern=r"^[A-Za-z0-9/-]{6,64}$(?!\n)")]
Id = Annotated[str, Meta(max_length=64)]

READ: Final = f"{OWN} withdrawals:read"


class NewWithdrawal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much, in minor units of the program's currency, and where to."""

    amount_minor: Amount
    payout_method: Id


class Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the member is told."""

    reason: Reason


class Completion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bank's reference of the payment, which the member is told."""

    utr: Utr


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which withdrawals are asked for."""

    member_id: Id | None = None
    state: State | None = None
    method: payout_methods.Kind | None = None
    min_amount_minor: Amount | None = None
    is_held: bool | None = None


class ShownWithdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A withdrawal. `account` is where it goes, without most of it, and null once that was
    forgotten; who decided, what fraud rules found (`is_held`, `reasons`), which provider paid, what
    it said and that it is `unclear` what it paid, is told to operators only.
    """

    id: str
    member: str
    amount_minor: int
    currency: str
    state: State
    method: payout_methods.Kind
    account: str | None
    utr: str | None
    reason: str | None
    is_held: bool
    reasons: list[str]
    approved_by: list[str]
    decided_by: str | None
    provider: str | None
    provider_reference: str | None
    requested_at: dt.datetime
    updated_at: dt.datetime


_new = msgspec.json.Decoder(NewWithdrawal)
_rejection = msgspec.json.Decoder(Rejection)
_completion = msgspec.json.Decoder(Completion)


async def create(call: Call) -> web.Response:
    """Ask to be paid; the money is held until it was decided."""
    answers.required_key(call)
    body = await read(call)
    wanted = problem.decode(_new, body)
    program_id, member_id = member_of(call)
    ring, withdrawal_id = call.app.ring, call.app.new_id("withdrawal")

    async def work(db: Db) -> ShownWithdrawal:
        program = await programs.get(db, program_id)
        withdrawals.check_amount(program.settings.withdrawals, wanted.amount_minor)
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
        await members.check_ban(db, program_id, member_id)
        if not await kyc.is_verified(db, program_id, member_id):
            raise errors.KycNotVerified
        method = await methods.get(db, ring, program_id, member_id, wanted.payout_method)
        new = stored.New(
            id=withdrawal_id,
            program_id=program_id,
            member_id=member_id,
            amount_minor=wanted.amount_minor,
            currency=program.currency,
            details=method.details,
            language=notices.language(call),
        )
        made = await stored.request(db, ring, new, _act(call))
        asked = {"amount_minor": made.amount_minor, "currency": made.currency}
        await auditing.record(call, db, "withdrawal.request", made.id, after=asked)
        return _shown(call, made)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """Withdrawals, the newest first."""
    search = problem.decode_query(Search, call.query)
    own = _own(call)
    wanted = Wanted(
        member_id=search.member_id if own is None else own,
        state=search.state,
        method=search.method,
        min_amount_minor=search.min_amount_minor,
        # A member is not told what is looked at.
        is_held=search.is_held if own is None else None,
    )
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.app.ring,
            call.principal.program_id,
            before=search.after("withdrawal"),
            limit=search.limit + 1,
            wanted=wanted,
        )
    return problem.reply(lists.page([_shown(call, one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One withdrawal."""
    caller, ring = call.principal, call.app.ring
    async with call.app.connection() as db:
        found = await stored.get(db, ring, caller.program_id, _id(call), member_id=_own(call))
    return problem.reply(_shown(call, found))


async def cancel(call: Call) -> web.Response:
    """The member wants the money back, before anybody has approved it."""
    async with call.app.transaction() as db:
        before = await _lock(call, db, member_id=call.principal.subject)
        after = await stored.take(db, call.app.ring, before, "cancel", _act(call))
        await _record(call, db, "cancel", before, after)
    return problem.reply(_shown(call, after))


async def approve(call: Call) -> web.Response:
    """Let it be paid, by the program's provider, if it has one, or by hand. A large one takes two
    persons; the first is noted.
    """
    async with call.app.transaction() as db:
        program = await programs.get(db, call.principal.program_id)
        before = await _lock(call, db)
        withdrawals.after(before.state, "approve")
        await _check_member(db, before)
        rules = program.settings.withdrawals
        if rules.provider is not None and rules.provider not in call.app.payouts:
            raise errors.ProviderNotFound
        if before.is_held:
            _check_person(call, "A fraud rule holds it")
        if withdrawals.needs_two(rules, before.amount_minor):
            _check_person(call, "It is above the program's threshold")
            if before.first_approved_by is None:
                after = await stored.approve_first(db, before, _act(call))
                await _record(call, db, "approve", before, after)
                return problem.reply(_shown(call, after))
            if before.first_approved_by == call.principal.subject:
                raise errors.SecondApproverNeeded
        act = _act(call, provider=rules.provider)
        after = await stored.take(db, call.app.ring, before, "approve", act)
        if rules.provider is not None:
            await outbox.add(db, tasks.PayWithdrawal(after.id))
        await _record(call, db, "approve", before, after)
    return problem.reply(_shown(call, after))


async def reject(call: Call) -> web.Response:
    """Give the money back, and say why."""
    wanted = await read_as(call, _rejection)
    return await _decide(call, "reject", _act(call, reason=wanted.reason))


async def complete(call: Call) -> web.Response:
    """It was paid by hand."""
    wanted = await read_as(call, _completion)
    return await _decide(call, "complete", _act(call, utr=wanted.utr))


async def _decide(call: Call, step: withdrawals.Step, act: Act) -> web.Response:
    async with call.app.transaction() as db:
        before = await _lock(call, db)
        if step == "complete" and before.state == "approved":
            await members.check_ban(db, before.program_id, before.member_id)
        after = await stored.take(db, call.app.ring, before, step, act)
        await _record(call, db, step, before, after)
    return problem.reply(_shown(call, after))


async def _lock(call: Call, db: Db, *, member_id: str | None = None) -> Withdrawal:
    program_id = call.principal.program_id
    return await stored.lock(db, call.app.ring, program_id, _id(call), member_id=member_id)


async def _check_member(db: Db, before: Withdrawal) -> None:
    """Things may have changed since it was asked for; MemberBanned, KycNotVerified,
    BalanceNegative."""
    await members.check_ban(db, before.program_id, before.member_id)
    if not await kyc.is_verified(db, before.program_id, before.member_id):
        raise errors.KycNotVerified
    balances = await money.balances(db, before.program_id, before.member_id)
    if balances.get((before.currency, "available"), 0) < 0:
        raise errors.BalanceNegative


def _check_person(call: Call, why: str) -> None:
    """Of two keys nobody can tell whether two persons hold them."""
    if call.principal.role == "app":
        raise errors.Forbidden(f"{why}: operators approve, signed in.")


async def _record(
    call: Call, db: Db, step: withdrawals.Step, before: Withdrawal, after: Withdrawal
) -> None:
    old, new = ({name: getattr(one, name) for name in _RECORDED} for one in (before, after))
    await auditing.record(call, db, f"withdrawal.{step}", after.id, old, new)


def _act(
    call: Call, *, reason: str | None = None, utr: str | None = None, provider: str | None = None
) -> Act:
    at = moment(call.app.now_ms())
    return Act(by=call.principal.subject, at=at, reason=reason, utr=utr, provider=provider)


def _id(call: Call) -> str:
    return call.params["withdrawal_id"]


def _own(call: Call) -> str | None:
    """The member who asks; None for whoever sees all."""
    caller = call.principal
    return caller.subject if caller.role == "member" else None


def _shown(call: Call, one: Withdrawal) -> ShownWithdrawal:
    is_operator = _own(call) is None
    is_hidden = one.state == "unclear" and not is_operator
    is_said = is_operator or one.state not in withdrawals.SAID_BY_PROVIDERS
    approved_by = [who for who in (one.first_approved_by, one.approved_by) if who]
    return ShownWithdrawal(
        id=one.id,
        member=one.member_id,
        amount_minor=one.amount_minor,
        currency=one.currency,
        state="paying" if is_hidden else one.state,
        method=one.method,
        account=None if one.destination is None else payout_methods.masked(one.destination),
        utr=one.utr,
        reason=one.reason if is_said else None,
        is_held=is_operator and one.is_held,
        reasons=one.reasons if is_operator else [],
        approved_by=approved_by if is_operator else [],
        decided_by=one.decided_by if is_operator else None,
        provider=one.provider if is_operator else None,
        provider_reference=one.provider_reference if is_operator else None,
        requested_at=one.requested_at,
        updated_at=one.updated_at,
    )


_RECORDED: Final = ("state", "first_approved_by", "approved_by", "reason", "utr", "provider")

PATH: Final = "/v1/withdrawals/{withdrawal_id}"
STEPPED: Final = (errors.WithdrawalNotFound, errors.WithdrawalNotOpen)
ONCE: Final = "A step is taken once; a repeat is refused, and changes nothing."

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/withdrawals",
        handler=create,
        name="create_withdrawal",
        summary="Ask to be paid, and have the money held",
        scope=OWN,
        body=NewWithdrawal,
        reply=ShownWithdrawal,
        status=201,
        errors=(
            errors.AmountBelowMinimum,
            errors.MemberBanned,
            errors.KycNotVerified,
            errors.PayoutMethodNotFound,
            errors.BalanceNegative,
            errors.InsufficientBalance,
            errors.MemberNotFound,
            errors.RequestInFlight,
        ),
        is_idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/withdrawals",
        handler=list_all,
        name="list_withdrawals",
        summary="List withdrawals, the newest first: a member's own, or the program's",
        scope=READ,
        query=Search,
        reply=lists.Page[ShownWithdrawal],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_withdrawal",
        summary="Read a withdrawal",
        scope=READ,
        reply=ShownWithdrawal,
        errors=(errors.WithdrawalNotFound,),
    ),
    Route(
        method="POST",
        path=f"{PATH}/cancel",
        handler=cancel,
        name="cancel_withdrawal",
        summary="The member wants the money back, before it was approved",
        scope=OWN,
        reply=ShownWithdrawal,
        errors=STEPPED,
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/approve",
        handler=approve,
        name="approve_withdrawal",
        summary="Let a withdrawal be paid; a large one takes two operators",
        scope="withdrawals:approve",
        reply=ShownWithdrawal,
        errors=(
            *STEPPED,
            errors.MemberBanned,
            errors.KycNotVerified,
            errors.BalanceNegative,
            errors.SecondApproverNeeded,
            errors.ProviderNotFound,
            errors.Forbidden,
        ),
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/reject",
        handler=reject,
        name="reject_withdrawal",
        summary="Give the money back, and say why",
        scope="withdrawals:write",
        body=Rejection,
        reply=ShownWithdrawal,
        errors=STEPPED,
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/complete",
        handler=complete,
        name="complete_withdrawal",
        summary="It was paid by hand, with the bank's reference",
        scope="withdrawals:write",
        body=Completion,
        reply=ShownWithdrawal,
        errors=(*STEPPED, errors.MemberBanned),
        repeats=ONCE,
    ),
)
