"""Tells both members of a referral what they were given for it."""

from __future__ import annotations

from core import money
from core.money import Money
from core.tasks import TellReferral
from db import notices, outbox, referrals
from workers.broker import Tools


async def tell(tools: Tools, row_id: int, task: TellReferral) -> None:
    """Tell those who were given something, unless it was taken back meanwhile."""
    async with tools.pool.acquire() as db, db.transaction():
        found = await referrals.to_tell(db, task.referral_id)
        if found is not None:
            given = {
                found.referrer_id: found.referrer_minor,
                found.member_id: found.referee_minor,
            }
            for member_id, amount_minor in given.items():
                if not amount_minor:
                    continue
                notice = notices.Notice(
                    program_id=found.program_id,
                    member_id=member_id,
                    template="referral_rewarded",
                    variables={"amount": money.text(Money(amount_minor, found.currency))},
                    dedupe_key=f"{found.id}_{member_id}",
                )
                await notices.tell(db, tools.ring, notice)
        await outbox.done(db, row_id)
