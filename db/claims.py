"""Claims: every step with its money, its message and its webhook in one transaction.

Who files one has locked the member, and so has whoever books a conversion of the member's: of a
claim and a conversion of one click, the later one sees the earlier one. Then rows are locked, then
accounts.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import claim_rules, claims, conversions, errors, ids, wallet
from core import money as money_
from core.claim_rules import Facts, Policy, Verdict
from core.claims import Act, Claim, State, Step
from core.conversions import Conversion
from core.keyring import KeyRing
from core.money import Money
from core.notices import Name
from db import claim_facts, inquiries, members, merchants, money, notices, webhooks
from db.claim_facts import Click, Order
from db.pg import Db
from db.programs import Program

_columns: Final = ", ".join(Claim.__struct_fields__)

STORE: Final = f"""
INSERT INTO claim ({_columns})
SELECT {_columns}
  FROM jsonb_populate_recordset(NULL::claim, $1::jsonb)
    ON CONFLICT (id) DO UPDATE
   SET state = excluded.state, version = excluded.version, credit_minor = excluded.credit_minor,
       credited_to = excluded.credited_to, decision = excluded.decision,
       decided_by = excluded.decided_by, decided_at = excluded.decided_at,
       first_accepted_by = excluded.first_accepted_by, accepted_by = excluded.accepted_by,
       reason = excluded.reason, conversion_id = excluded.conversion_id,
       updated_at = excluded.updated_at
 WHERE claim.program_id = excluded.program_id
"""  # noqa: S608 - the names are a class's
SELECT: Final = f"""
SELECT {_columns}
  FROM claim WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)
"""  # noqa: S608 - the names are a class's
LOCK: Final = f"""
SELECT {_columns}
  FROM claim WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)
   FOR UPDATE
"""  # noqa: S608 - the names are a class's
PAGE: Final = f"""
SELECT {_columns}
  FROM claim
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR state = $5)
   AND ($6::text IS NULL OR proposal = $6) AND ($7::text IS NULL OR merchant_id = $7)
   AND ($8::text IS NULL OR click_id = $8)
   AND ($9::boolean IS NULL OR $9 = (
            conversion_id IS NULL AND EXISTS (
                SELECT FROM conversion v
                 WHERE v.program_id = claim.program_id AND v.click_id = claim.click_id)))
 ORDER BY id DESC LIMIT $3
"""  # noqa: S608 - the names are a class's
UNANSWERED: Final = f"""
SELECT {_columns}
  FROM claim
 WHERE program_id = $1 AND member_id = ANY($2::text[]) AND conversion_id IS NULL
   AND state NOT IN ('rejected', 'declined')
   AND (click_id = ANY($3::text[]) OR lower(ltrim(order_id, '#')) = ANY($4::text[]))
 ORDER BY id FOR UPDATE
"""  # noqa: S608 - the names are a class's
GIVEN: Final = f"""
SELECT {_columns}
  FROM claim
 WHERE program_id = $1 AND member_id = ANY($2::text[]) AND conversion_id IS NULL
   AND state IN ('accepted', 'settled')
"""  # noqa: S608 - the names are a class's
LOCK_MEMBER: Final = """
SELECT id FROM member WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL
   FOR NO KEY UPDATE
"""
HOLD_MEMBERS: Final = """
SELECT id FROM member WHERE program_id = $1 AND id = ANY($2::text[]) ORDER BY id FOR SHARE
"""
RECENT: Final = """
SELECT count(*) FROM claim WHERE program_id = $1 AND member_id = $2 AND opened_at > $3
"""

#: What a member is told of a state.
TEMPLATES: Final[Mapping[State, Name]] = {
    "accepted": "claim_accepted",
    "sent": "claim_sent",
    "rejected": "claim_rejected",
    "declined": "claim_rejected",
}


class New(NamedTuple):
    """What a member says: of which click, or of which merchant, and of which order."""

    id: str
    click_id: str | None
    merchant_id: str | None
    order: Order
    language: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which claims are asked for; None asks for all. `is_reported`: without an answer, though the
    click was reported."""

    member_id: str | None = None
    state: State | None = None
    proposal: Verdict | None = None
    merchant_id: str | None = None
    click_id: str | None = None
    is_reported: bool | None = None


async def file(
    db: Db, ring: KeyRing, program: Program, policy: Policy, new: New, act: Act
) -> Claim:
    """Store a claim with what our records say of it; in automatic mode decide it, too, unless that
    would give money for what somebody else files for the member.

    In the caller's transaction. MemberNotFound, MemberBanned, ClickNotFound, MerchantNotFound,
    ClaimTooEarly, TooManyClaims, OrderClaimed, ClickClaimed, InvalidRequest.
    """
    claim_rules.check_time(policy, new.order.ordered_at, act.at)
    member_id = new.order.member_id
    if await db.fetchval(LOCK_MEMBER, program.id, member_id) is None:
        raise errors.MemberNotFound
    await members.check_ban(db, program.id, member_id)
    since = act.at - claim_rules.RECENT
    claim_rules.check_count(policy, await db.fetchval(RECENT, program.id, member_id, since))
    found = await _click(db, ring, program.id, policy, new)
    facts = await claim_facts.gather(db, program, found, new.order, act.at)
    filed = _claim(program, new, found, facts, policy, act)
    if await claim_facts.is_answered(db, program.id, filed.order_id, filed.merchant_id):
        raise errors.OrderClaimed
    claim = await _add(db, filed)
    await _announce(db, ring, claim)
    needs_person = claim.proposal in claims.GIVING and claims.is_filed_for(claim)
    if policy.mode == "shadow" or needs_person:
        return claim
    own = Act(by=claims.AUTOMATIC, at=act.at, credited_to=policy.credit)
    return await take(db, ring, claim, claim.proposal, own)


async def take(db: Db, ring: KeyRing, before: Claim, step: Step, act: Act) -> Claim:
    """Take a step of a locked claim, in the caller's transaction; ClaimNotOpen, InvalidRequest,
    Conflict when money would be given for what a network has reported."""
    after = claims.after(before, step, act)
    if step in claims.GIVING and await _is_reported(db, before):
        raise errors.Conflict("A network has reported this purchase already.")
    after = await _store(db, before, after)
    if after.state == "sent":
        await inquiries.want(db, after)
    await _move(db, before, after, act.by)
    await _announce(db, ring, after)
    return after


async def settle_by(db: Db, ring: KeyRing, before: Claim, found: Conversion, act: Act) -> Claim:
    """End a locked claim with the conversion of its member that a person says is its order, in the
    caller's transaction; ClaimNotOpen, Conflict."""
    after = await _store(db, before, claims.answered_by(before, found, act))
    await _move(db, before, after, act.by)
    await _announce(db, ring, after)
    return after


async def accept_first(db: Db, before: Claim, step: Step, act: Act) -> Claim:
    """Note the first of two operators who have to give money for a locked claim, and how much;
    ClaimNotOpen, InvalidRequest."""
    amount_minor = claims.after(before, step, act).credit_minor
    return await _store(
        db,
        before,
        msgspec.structs.replace(
            before, first_accepted_by=act.by, credit_minor=amount_minor, updated_at=act.at
        ),
    )


async def get(db: Db, program_id: str, claim_id: str, *, member_id: str | None = None) -> Claim:
    """The claim, or ClaimNotFound; also when it is not of the given member."""
    return _read(await db.fetchrow(SELECT, program_id, claim_id, member_id))


async def lock(db: Db, program_id: str, claim_id: str, *, member_id: str | None = None) -> Claim:
    """The same, which nobody else changes before the transaction ends."""
    return _read(await db.fetchrow(LOCK, program_id, claim_id, member_id))


async def lock_to_write(db: Db, program_id: str, claim_id: str, member_id: str | None) -> Claim:
    """The same, whose member is not erased before the transaction ends either; MemberNotFound."""
    before = await get(db, program_id, claim_id, member_id=member_id)
    if await db.fetchval(LOCK_MEMBER, program_id, before.member_id) is None:
        raise errors.MemberNotFound
    return await lock(db, program_id, claim_id)


async def page(db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted) -> list[Claim]:
    """Up to `limit` claims, the newest first, with ids before `before` unless it is empty."""
    who = (wanted.member_id, wanted.state, wanted.proposal)
    what = (wanted.merchant_id, wanted.click_id, wanted.is_reported)
    return [_read(row) for row in await db.fetch(PAGE, program_id, before, limit, *who, *what)]


async def given(db: Db, program_id: str, member_ids: Sequence[str]) -> list[Claim]:
    """The claims of these members whose credit stands."""
    return [_read(row) for row in await db.fetch(GIVEN, program_id, member_ids)]


async def answer(
    db: Db, ring: KeyRing, program_id: str, found: Sequence[Conversion], by: str, at: dt.datetime
) -> list[tuple[str, money.Transaction]]:
    """Settle or decline the claims that these stored conversions answer; the money that has to be
    taken back with it, each by the conversion's id. Members hear of what was declined."""
    owned = [one for one in found if one.member_id is not None]
    if not owned:
        return []
    member_ids = sorted({one.member_id or "" for one in owned})
    await db.fetch(HOLD_MEMBERS, program_id, member_ids)
    clicks = sorted({one.click_id for one in owned if one.click_id is not None})
    orders = sorted({claims.order_key(one.order_id) for one in owned if one.order_id})
    rows = await db.fetch(UNANSWERED, program_id, member_ids, clicks, orders)
    if not rows:
        return []
    taken = await claim_facts.taken(db, program_id, owned)
    changes = []
    for before in map(_read, rows):
        after = claims.answered(before, owned, at, taken)
        if after is not before:
            changes.append((before, await _store(db, before, after)))
            taken.add(after.conversion_id or "")
    for _, after in changes:
        await _announce(db, ring, after)
    return [
        (after.conversion_id or "", moved)
        for before, after in changes
        if (moved := _transaction(before, after, by)) is not None
    ]


async def _click(db: Db, ring: KeyRing, program_id: str, policy: Policy, new: New) -> Click | None:
    member_id = new.order.member_id
    if new.click_id is not None:
        return await claim_facts.click(db, ring.click, program_id, member_id, new.click_id)
    assert new.merchant_id is not None
    await merchants.get(db, program_id, new.merchant_id)
    window = dt.timedelta(days=policy.window_days)
    return await claim_facts.click_of_merchant(db, program_id, new.merchant_id, new.order, window)


def _claim(
    program: Program, new: New, found: Click | None, facts: Facts, policy: Policy, act: Act
) -> Claim:
    decided = claim_rules.decide(facts, policy)
    return Claim(
        id=new.id,
        program_id=program.id,
        member_id=new.order.member_id,
        state="opened",
        version=1,
        click_id=None if found is None else found.click_id,
        clicked_at=None if found is None else found.clicked_at,
        offer_id=None if found is None else found.offer_id,
        merchant_id=new.merchant_id if found is None else found.merchant_id,
        network_id=None if found is None else found.network_id,
        order_id=new.order.order_id,
        order_minor=new.order.money.amount_minor,
        order_currency=new.order.money.currency,
        ordered_at=new.order.ordered_at,
        proposal=decided.verdict,
        reasons=list(decided.reasons),
        facts=facts,
        currency=program.currency,
        estimate_minor=facts.cashback_minor,
        language=new.language,
        opened_by=act.by,
        opened_at=act.at,
        updated_at=act.at,
    )


async def _add(db: Db, claim: Claim) -> Claim:
    try:
        await db.execute(STORE, _json([claim]))
    except asyncpg.UniqueViolationError as error:
        is_click = error.constraint_name == "claim_of_a_click_is_one"
        raise (errors.ClickClaimed if is_click else errors.OrderClaimed) from None
    return claim


async def _store(db: Db, before: Claim, new: Claim) -> Claim:
    after = msgspec.structs.replace(new, version=before.version + 1)
    await db.execute(STORE, _json([after]))
    return after


async def _is_reported(db: Db, claim: Claim) -> bool:
    asked = (claim.click_id, claim.order_id, claim.merchant_id)
    return any(
        one.state not in conversions.FINAL and claims.is_answer(claim, one, is_taken=is_taken)
        for one, is_taken in await claim_facts.reported(db, claim.program_id, *asked)
    )


async def _move(db: Db, before: Claim, after: Claim, by: str) -> None:
    moved = _transaction(before, after, by)
    if moved is None:
        return
    available = wallet.Account("available", after.currency, after.member_id)
    named = wallet.accounts(moved.postings)
    locked = await money.lock(db, after.program_id, named)
    was = locked.balances.get(available, 0)
    await money.post(db, locked, [moved])
    if locked.balances.get(available, 0) < 0 <= was:
        await webhooks.queue_events(db, [_event(after, "balance.negative")])


def _transaction(before: Claim, after: Claim, by: str) -> money.Transaction | None:
    """The money of a step; None when there is none."""
    legs = wallet.change(claims.booked(before), claims.booked(after))
    if not legs:
        return None
    return money.Transaction(
        id=ids.new("transaction", _ms(after.updated_at), os.urandom(ids.ENTROPY_BYTES)),
        type=f"claim_{after.state}",
        subject=after.id,
        step=after.version,
        member_id=after.member_id,
        reason=after.reason,
        recorded_by=by,
        recorded_at=after.updated_at,
        postings=wallet.postings(legs),
    )


async def _announce(db: Db, ring: KeyRing, after: Claim) -> None:
    kind = "claim.opened" if after.state == "opened" else "claim.decided"
    await webhooks.queue_events(db, [_event(after, kind)])
    template = TEMPLATES.get(after.state)
    if template is not None:
        notice = notices.Notice(
            program_id=after.program_id,
            member_id=after.member_id,
            template=template,
            variables=_variables(template, after),
            dedupe_key=f"{after.id}_{after.version}",
            language=after.language,
        )
        await notices.tell(db, ring, notice)


def _variables(template: str, after: Claim) -> dict[str, str | int]:
    said: dict[str, str | int] = {"order": after.order_id}
    if template == "claim_accepted":
        said["amount"] = money_.text(Money(after.credit_minor or 0, after.currency))
    if template == "claim_rejected":
        said["reason"] = claims.explanation(after)
    return said


def _event(after: Claim, kind: str) -> webhooks.Event:
    data = {
        "id": after.id,
        "member": after.member_id,
        "click": after.click_id,
        "merchant": after.merchant_id,
        "order_id": after.order_id,
        "state": after.state,
        "decision": after.decision,
        "credit_minor": after.credit_minor,
        "currency": after.currency,
        "conversion": after.conversion_id,
    }
    name = f"evt_{after.id}_{after.version}_{kind.rpartition('.')[2]}"
    return webhooks.Event(after.program_id, kind, name, _ms(after.updated_at), data)


def _ms(moment: dt.datetime) -> int:
    return (moment - conversions.EPOCH) // dt.timedelta(milliseconds=1)


def _json(found: Sequence[Claim]) -> str:
    return msgspec.json.encode(found).decode()


def _read(row: asyncpg.Record | None) -> Claim:
    if row is None:
        raise errors.ClaimNotFound
    facts = msgspec.json.decode(row["facts"], type=Facts)
    return Claim(**{**row, "facts": facts})
