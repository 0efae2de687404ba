"""Who came by whose code, and what they got for it.

Claims of a program are made one after the other: of a loop of members who claim each other's codes
at once, each alone would see nothing wrong.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import asyncpg
import msgspec

from core import errors, kyc, payout_methods, referrals
from core.keyring import KeyRing
from core.programs import ReferralRules
from core.referrals import Claim, Given, Referral, State
from db import contacts, programs, referral_codes
from db import kyc as documents
from db import payout_methods as methods
from db.pg import Db

LOCK_CLAIMS: Final = "SELECT pg_advisory_xact_lock(hashtextextended('referral:' || $1, 0))"
# So that neither an erasure nor a first purchase passes by: whoever books one holds its member.
LOCK_CLAIMANT: Final = """
SELECT FROM member WHERE program_id = $1 AND id = $2 FOR NO KEY UPDATE
"""
CLAIMANT: Final = """
SELECT m.created_at AS joined_at,
       EXISTS (SELECT FROM referral r WHERE r.program_id = $1 AND r.member_id = m.id)
       AS is_referred,
       EXISTS (SELECT FROM conversion c WHERE c.program_id = $1 AND c.member_id = m.id)
       AS has_bought
  FROM member m WHERE m.program_id = $1 AND m.id = $2 AND m.deleted_at IS NULL
"""
# Everybody has one referrer at most, so those above somebody stand in a line.
IS_LOOP: Final = """
WITH RECURSIVE above AS (
    SELECT referrer_id FROM referral WHERE program_id = $1 AND member_id = $2
    UNION
    SELECT r.referrer_id FROM above
      JOIN referral r ON r.program_id = $1 AND r.member_id = above.referrer_id
)
SELECT EXISTS (SELECT FROM above WHERE referrer_id = $3)
"""
INSERT: Final = """
INSERT INTO referral (id, program_id, member_id, referrer_id, version, state, currency,
                      referrer_minor, referee_minor, minimum_commission_minor, minimum_sale_minor,
                      qualifies_until, claimed_at, updated_at)
VALUES ($1, $2, $3, $4, 1, 'claimed', $5, $6, $7, $8, $9, $10, $11, $11)
RETURNING id, program_id, member_id, referrer_id, version, state, reason, currency, referrer_minor,
          referee_minor, minimum_commission_minor, minimum_sale_minor, qualifies_until,
          conversion_id, claimed_at, qualified_at, updated_at
"""
PAGE: Final = """
SELECT id, program_id, member_id, referrer_id, version, state, reason, currency, referrer_minor,
       referee_minor, minimum_commission_minor, minimum_sale_minor, qualifies_until, conversion_id,
       claimed_at, qualified_at, updated_at
  FROM referral
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR referrer_id = $5)
   AND ($6::text IS NULL OR $6 IN (member_id, referrer_id)) AND ($7::text IS NULL OR state = $7)
 ORDER BY id DESC LIMIT $3
"""
# A task knows the id alone, which it was given with the money.
TO_TELL: Final = """
SELECT id, program_id, member_id, referrer_id, version, state, reason, currency, referrer_minor,
       referee_minor, minimum_commission_minor, minimum_sale_minor, qualifies_until, conversion_id,
       claimed_at, qualified_at, updated_at
  FROM referral WHERE id = $1 AND state = 'rewarded'
"""
GIVEN: Final = """
SELECT count(*) AS times, coalesce(sum(referrer_minor), 0)::bigint AS referrer_minor
  FROM referral
 WHERE program_id = $1 AND referrer_id = $2 AND currency = $3
   AND state IN ('qualified', 'rewarded') AND ($4::timestamptz IS NULL OR qualified_at > $4)
"""
SPENT: Final = """
SELECT -balance_minor FROM money_account
 WHERE program_id = $1 AND role = 'referral' AND currency = $2
"""
COUNTS: Final = """
SELECT count(*) FILTER (WHERE referrer_id = $2) AS invited,
       count(*) FILTER (WHERE referrer_id = $2 AND state IN ('qualified', 'rewarded')) AS qualified,
       coalesce(sum(CASE WHEN referrer_id = $2 THEN referrer_minor ELSE referee_minor END)
                FILTER (WHERE state = 'rewarded' AND currency = $3), 0)::bigint AS earned_minor,
       count(*) FILTER (WHERE member_id = $2) > 0 AS is_referred
  FROM referral WHERE program_id = $1 AND (member_id = $2 OR referrer_id = $2)
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which referrals are asked for; None asks for all. `of_member`: on either side."""

    member_id: str | None = None
    referrer_id: str | None = None
    of_member: str | None = None
    state: State | None = None


class Counts(msgspec.Struct, frozen=True):
    """How many a member has invited, how many of them have qualified, and what the member was given
    for both sides, in minor units."""

    invited: int
    qualified: int
    earned_minor: int
    is_referred: bool


async def claim(
    db: Db,
    ring: KeyRing,
    program_id: str,
    member_id: str,
    code: str,
    *,
    referral_id: str,
    now: dt.datetime,
) -> Referral:
    """Note that a member came by a code, in the caller's transaction; ReferralCodeNotFound,
    MemberNotFound, and the errors of `check_claim`."""
    await db.execute(LOCK_CLAIMS, program_id)
    program = await programs.get(db, program_id)
    rules = program.settings.referrals
    referrer_id = await referral_codes.owner(db, program_id, referrals.spelled(code))
    # First the lock: the next statement sees what was booked before it was given.
    await db.execute(LOCK_CLAIMANT, program_id, member_id)
    claimant = await db.fetchrow(CLAIMANT, program_id, member_id)
    if claimant is None:
        raise errors.MemberNotFound
    known = Claim(
        **claimant,
        is_same_person=await is_same_person(db, ring, program_id, member_id, referrer_id),
        is_loop=await db.fetchval(IS_LOOP, program_id, referrer_id, member_id),
        is_spent=await is_spent(db, program, referrer_id, now),
    )
    referrals.check_claim(rules, known, now)
    row = await db.fetchrow(
        INSERT,
        *(referral_id, program_id, member_id, referrer_id, program.currency),
        *(rules.referrer_minor, rules.referee_minor),
        *(rules.minimum_commission_minor, rules.minimum_sale_minor),
        *(known.joined_at + dt.timedelta(days=rules.qualify_days), now),
    )
    assert row is not None
    return referral(row)


async def page(
    db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted
) -> list[Referral]:
    """Up to `limit` referrals, the newest first."""
    asked = (wanted.member_id, wanted.referrer_id, wanted.of_member, wanted.state)
    rows = await db.fetch(PAGE, program_id, before, limit, *asked)
    return [referral(row) for row in rows]


async def to_tell(db: Db, referral_id: str) -> Referral | None:
    """The referral, if both sides were given something for it that they still have."""
    row = await db.fetchrow(TO_TELL, referral_id)
    return None if row is None else referral(row)


async def count(db: Db, program_id: str, member_id: str, currency: str) -> Counts:
    """What a member has to do with referrals."""
    row = await db.fetchrow(COUNTS, program_id, member_id, currency)
    assert row is not None
    return Counts(**row)


async def is_spent(db: Db, program: programs.Program, referrer_id: str, now: dt.datetime) -> bool:
    """Whether nothing would be given for another referral by this member now."""
    rules = program.settings.referrals
    spent_minor = await db.fetchval(SPENT, program.id, program.currency) or 0
    total_minor = rules.referrer_minor + rules.referee_minor
    found = await given(db, program.id, referrer_id, program.currency, rules, spent_minor, now)
    return referrals.limit(rules, found, rules.referrer_minor, total_minor) is not None


async def given(
    db: Db,
    program_id: str,
    referrer_id: str,
    currency: str,
    rules: ReferralRules,
    spent_minor: int,
    now: dt.datetime,
) -> Given:
    """What counts towards the referrer's cap and the budget, of which `spent_minor` is spent."""
    since = referrals.since(rules, now)
    row = await db.fetchrow(GIVEN, program_id, referrer_id, currency, since)
    assert row is not None
    return Given(row["times"], row["referrer_minor"], spent_minor)


async def is_same_person(
    db: Db, ring: KeyRing, program_id: str, member_id: str, other_id: str
) -> bool:
    """Whether two members are one, are paid to one account, showed one document, or proved one
    mailbox. Opened and compared, because hashes of one thing differ while keys are rotated."""
    if member_id == other_id:
        return True
    ours = await _marks(db, ring, program_id, member_id)
    return not ours.isdisjoint(await _marks(db, ring, program_id, other_id))


async def _marks(db: Db, ring: KeyRing, program_id: str, member_id: str) -> set[str]:
    ways = await methods.of_member(db, ring, program_id, member_id)
    marks = {payout_methods.identity(one.details) for one in ways}
    handed_in = await documents.find(db, ring, program_id, member_id)
    if handed_in is not None:
        marks.add(kyc.identity(handed_in.document))
    reached = await contacts.of_member(db, ring, program_id, member_id)
    return marks | {referrals.mailbox(one.address) for one in reached if one.verified_at}


def referral(row: asyncpg.Record) -> Referral:
    """The referral of a row that has all its columns."""
    return Referral(**row)
