"""Kills on the way from a click to the bank's reference, and what must be true afterwards.

The way is the story of `tests/acceptance`: who is outside asks again until answered, and the bank
keeps a log. A point names the step of the story that leads there.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from tests.acceptance.asking import Surprise
from tests.acceptance.story import ACTS, Story
from tests.acceptance.world import World
from tests.chaos import points, source
from tests.chaos.points import Point, before, nothing
from tests.chaos.source import Patch
from tests.chaos.stack import FLAGS, ROLES, SERVERS, until

VICTIMS: Final = (*ROLES, *SERVERS)
#: Who has a part in each step, for a short battery.
QUICK: Final = {
    "buy": "gateway",
    "approve_signed": "schedule",
    "withdraw": "postgres",
    "let_pay": "jobs",
    "hear_of_bank": "gateway",
    "take_back": "relay",
}
# What a dead worker was doing is soon done by another: nobody waits for minutes here.
SOON: Final = (
    Patch("db/outbox.py", "RESEND_AFTER_S: Final = 60", "RESEND_AFTER_S: Final = 1"),
    Patch("workers/relay.py", "SWEEP_MS: Final = 5_000", "SWEEP_MS: Final = 500"),
)
# How the longest sleep before a kill compares to what most steps take.
DELAY_S_MAX: Final = 0.4

#: All that the story makes the ledger, the messages and the clicks hold for its member.
MOVES: Final = Counter(
    {
        "conversion_pending": 2,
        "conversion_approved": 2,
        "conversion_reversed": 1,
        "withdrawal_requested": 1,
        "withdrawal_paid": 1,
    }
)
MESSAGES: Final = Counter(
    {
        "cashback_credited": 2,
        "withdrawal_requested": 1,
        "withdrawal_approved": 1,
        "withdrawal_paid": 1,
    }
)
TRANSACTIONS: Final = "SELECT type FROM money_transaction WHERE member_id = $1"
NOTIFICATIONS: Final = """
SELECT template FROM notification
 WHERE recipient_id = $1 AND template ~ '^(cashback|withdrawal)_'
"""
CLICKS: Final = "SELECT click_id FROM click WHERE member_id = $1"
CONVERSIONS: Final = "SELECT count(*) FROM conversion WHERE member_id = $1"
GIVEN_UP: Final = "SELECT task || ': ' || error FROM dead_letter"


class Stop(NamedTuple):
    """A point at which a process dies, and the step during which it comes by."""

    step: str
    point: Point


def stop(step: str, name: str, patch: Patch) -> Stop:
    """A point to which the step leads by itself."""
    return Stop(step, Point(name, patch, nothing))


def known(step: str, name: str) -> Stop:
    """A point of the other battery."""
    (point,) = (point for point in points.POINTS if point.name == name)
    return Stop(step, point)


def after(path: str, text: str, indent: int) -> Patch:
    """Die after a line."""
    return Patch(path, text, f"{text}\n{' ' * indent}HIT")


STOPS: Final = (
    known("click", "redirector-between-acknowledgement-and-answer"),
    known("click", "flusher-before-commit"),
    known("click", "flusher-between-commit-and-trim"),
    stop(
        "buy",
        "gateway-before-a-postback-is-stored",
        before("gateway/postbacks.py", "await call.app.receiving.store(new)", 4),
    ),
    stop(
        "buy",
        "gateway-between-a-postback-and-its-answer",
        before("gateway/postbacks.py", "if _wants_json(call):", 4),
    ),
    stop(
        "buy",
        "schedule-between-a-conversion-and-its-money",
        before("db/conversions.py", "negative = await bookings.move(", 4),
    ),
    stop(
        "approve_signed",
        "schedule-before-a-verdict-is-noted",
        before("db/intake.py", "if verdicts:\n        await postbacks.judge", 4),
    ),
    stop(
        "approve_signed",
        "schedule-after-a-conversion-commits",
        Patch(
            "workers/conversions.py",
            "            return await work.take(db, only)",
            "            count = await work.take(db, only)\n        HIT\n        return count",
        ),
    ),
    stop(
        "approve_signed",
        "jobs-before-a-member-is-told",
        before("workers/conversions.py", "await notices.tell(db, tools.ring, notice)", 12),
    ),
    stop(
        "approve_when_asked",
        "gateway-between-a-sync-and-its-answer",
        before("gateway/networks.py", "return problem.reply(_shown(network), 202)", 4),
    ),
    stop(
        "approve_when_asked",
        "jobs-before-a-page-commits",
        before("workers/sync.py", "if page is not None:", 12),
    ),
    stop(
        "take_back",
        "jobs-between-the-last-page-and-its-end",
        before("workers/sync.py", "if is_done:\n", 8),
    ),
    stop(
        "withdraw",
        "gateway-before-a-withdrawal-commits",
        before("db/withdrawals.py", "await _announce(db, ring, stored)", 4),
    ),
    stop(
        "withdraw",
        "gateway-between-a-withdrawal-and-its-answer",
        Patch(
            "gateway/withdrawals.py",
            "return await answers.once(call, body, work)",
            "answer = await answers.once(call, body, work)\n    HIT\n    return answer",
        ),
    ),
    stop(
        "let_pay",
        "gateway-before-an-approval-commits",
        after(
            "gateway/withdrawals.py", "await outbox.add(db, tasks.PayWithdrawal(after.id))", 12
        ),
    ),
    stop(
        "let_pay",
        "gateway-between-an-approval-and-its-answer",
        before(
            "gateway/withdrawals.py",
            "return problem.reply(_shown(call, after))\n\n\nasync def reject(",
            4,
        ),
    ),
    known("let_pay", "relay-between-sending-and-marking"),
    stop(
        "let_pay",
        "jobs-before-paying-commits",
        after(
            "workers/payouts.py",
            "before = await payouts.begin(db, tools.ring, before, _now())",
            12,
        ),
    ),
    stop(
        "let_pay",
        "jobs-between-paying-and-the-bank",
        before(
            "workers/payouts.py",
            "answer = await attempt(tools, provider, before, is_new=is_new)",
            4,
        ),
    ),
    stop(
        "let_pay",
        "jobs-between-the-bank-and-its-note",
        before("workers/payouts.py", "await _write_down(db, tools.ring, row_id, task, answer)", 8),
    ),
    stop(
        "let_pay",
        "jobs-before-the-note-commits",
        before("workers/payouts.py", "waited_s = (_now() - after.updated_at)", 4),
    ),
    stop(
        "hear_of_bank",
        "gateway-before-the-banks-call-commits",
        before("db/payouts.py", "await db.execute(NOTE,", 4),
    ),
    stop(
        "hear_of_bank",
        "gateway-between-the-banks-call-and-its-answer",
        before(
            "gateway/payout_events.py",
            'outcome = "repeated" if heard is None else heard.outcome',
            4,
        ),
    ),
)  # fmt: skip


class Control(NamedTuple):
    """What a guard is for: somebody dies `at` a point, and nothing is wrong with it, and something
    that has `symptom` in it without. `setting` makes it the only one.
    """

    name: str
    at: Stop
    guard: Patch
    symptom: str
    setting: tuple[Patch, ...] = ()


LATER: Final = '__import__("asyncio").get_running_loop().call_later'
_ANSWER: Final = "report = found if isinstance(found, Report) else None"
_ANSWERED: Final = stop(
    "buy",
    "gateway-after-a-postback-is-answered",
    Patch("gateway/postbacks.py", _ANSWER, f"{LATER}(0.2, lambda: HIT)\n    {_ANSWER}"),
)
CONTROLS: Final = (
    Control(
        "one id for one payout",
        next(one for one in STOPS if one.point.name == "jobs-between-the-bank-and-its-note"),
        Patch(
            "workers/payouts.py",
            "id=withdrawal.id,",
            'id=withdrawal.id[:-8] + __import__("os").urandom(4).hex(),',
        ),
        "effects",
        # It is not looked up before it is asked for again.
        (Patch("workers/payouts.py", "if not is_new:", "if False:"),),
    ),
    Control(
        "stored before it is answered",
        _ANSWERED,
        Patch(
            "gateway/postbacks.py",
            "await call.app.receiving.store(new)",
            f'{LATER}(0.5, lambda: __import__("asyncio").ensure_future('
            "call.app.receiving.store(new)))",
        ),
        "has Wallet(",
        (_ANSWERED.point.applied,),
    ),
)


def copied(folder: Path, *more: Patch) -> Path:
    """The source with all points in it, none of them armed."""
    made = source.copy(folder, [*SOON, *(one.point.applied for one in STOPS), *more])
    points.install(made)
    return made


def killed(found: World, number: int, rng: random.Random, victims: dict[str, str]) -> list[str]:
    """Tell a story, and kill a process or a server in each step that `victims` names, some moment
    after the step has begun; what is wrong then.
    """
    story = Story(found, number)
    try:
        for name, act in ACTS.items():
            begun = found.loop.begin(act(story))
            if name in victims:
                time.sleep(rng.uniform(0.0, DELAY_S_MAX))
                found.stack.kill(victims[name], rng)
            begun.result()
        found.stack.wait_ready()
        return found.loop.run(problems(story))
    except (AssertionError, Surprise, TimeoutError) as error:
        return failed(found, error)


def stopped(found: World, number: int, at: Stop) -> list[str]:
    """Tell a story in which a process dies at a point; what is wrong then."""
    story, flag = Story(found, number), Path(found.stack.env[FLAGS]) / at.point.name
    try:
        for name, act in ACTS.items():
            if name == at.step:
                points.arm(found.stack, at.point)
            found.loop.run(act(story))
        # What the member sees may be there before its worker comes by.
        until(lambda: not flag.exists(), points.HIT_S, f"somebody dies at {at.point.name}")
        found.stack.wait_ready()
        return found.loop.run(problems(story))
    except (AssertionError, Surprise, TimeoutError) as error:
        return failed(found, error)


def failed(found: World, error: Exception) -> list[str]:
    """A story that went another way."""
    return [f"{type(error).__name__}: {error}", *found.bank.problems(found.withdrawals)]


async def problems(story: Story) -> list[str]:
    """What is wrong at the end; empty when nothing is."""
    world, member = story.world, story.member_id
    await world.check_books()
    found = world.bank.problems(world.withdrawals)
    db = await asyncpg.connect(world.stack.servers.migrate_url)
    try:
        moves = Counter(row["type"] for row in await db.fetch(TRANSACTIONS, member))
        messages = Counter(row["template"] for row in await db.fetch(NOTIFICATIONS, member))
        clicks = Counter(row["click_id"] for row in await db.fetch(CLICKS, member))
        conversions = await db.fetchval(CONVERSIONS, member)
        found += [f"given up: {row[0]}" for row in await db.fetch(GIVEN_UP)]
    finally:
        await db.close()
    told = (
        ("moves", moves, MOVES),
        ("messages", messages, MESSAGES),
        ("clicks", clicks, Counter(story.clicks.values())),
        ("conversions", conversions, 2),
    )
    return found + [f"{what}: {seen}, not {due}" for what, seen, due in told if seen != due]
