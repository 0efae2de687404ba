"""Both flows in one run, over HTTP on all of our processes, with the books right at each step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance import __main__ as demo
from tests.acceptance import world
from tests.acceptance.story import RUPEES, Story, open_shop

#: What the member has after each step, in rupees: available, pending, held.
WALLETS: Final = {
    "sign_up": (0, 0, 0),
    "click": (0, 0, 0),
    "buy": (0, 80, 0),
    "approve_signed": (80, 0, 0),
    "click_again": (80, 0, 0),
    "buy_again": (80, 50, 0),
    "approve_when_asked": (130, 0, 0),
    "prove_identity": (130, 0, 0),
    "withdraw": (30, 0, 100),
    "let_pay": (30, 0, 100),
    "hear_of_bank": (30, 0, 0),
    "take_back": (-20, 0, 0),
    "be_refused": (-20, 0, 0),
    "trace": (-20, 0, 0),
}
#: What each of the traced transactions does to accounts, in rupees.
MOVES: Final = {
    "conversion_pending": {"receivable": -100, "pending": 50, "expected": 50},
    "conversion_approved": {"pending": -50, "available": 50, "expected": -50, "margin": 50},
    "withdrawal_requested": {"available": -100, "held": 100},
    "withdrawal_paid": {"held": -100, "paid_out": 100},
    "conversion_reversed": {"available": -50, "margin": -50, "receivable": 100},
}


@pytest.mark.timeout(180)
def test_from_a_click_to_the_bank_and_the_books_are_right_at_each_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with world.running(tmp_path, gateway_processes="1", redirector_processes="1") as found:
        run = found.loop.run
        run(open_shop(found))
        asha, seen = Story(found), {}
        for number, step in enumerate(asha.steps()):
            run(found.check_books())
            demo.show(found, asha, number, step.said)
            seen[step.name] = tuple(minor // RUPEES for minor in run(asha.wallet()))
        assert seen == WALLETS
        assert capsys.readouterr().out.count("  balanced  ") == len(WALLETS)
        assert asha.utr in demo.look_around(found, asha)
        assert found.bank.problems(found.withdrawals) == []
        assert len(found.bank.log) == 1
        traced = run(asha.found())
        assert moves(traced) == MOVES
        assert [one["verdict"] for one in traced["postbacks"]] == ["accepted"]
        assert [one["utr"] for one in traced["withdrawals"]] == [asha.utr]
        # The first network owes its commission, half of it ours; the member owes what came back.
        [position] = run(found.check_books())["positions"]
        named = ("receivable_minor", "margin_minor", "paid_out_minor", "owed_by_members_minor")
        assert [position[name] // RUPEES for name in named] == [160, 80, 100, 20]


def moves(traced: dict[str, Any]) -> dict[str, Counter[str]]:
    """By how much each type of transaction changed accounts, in rupees."""
    found: dict[str, Counter[str]] = {}
    for one in traced["postings"]:
        changed = found.setdefault(one["type"], Counter())
        changed[one["source"]] -= one["amount_minor"] // RUPEES
        changed[one["destination"]] += one["amount_minor"] // RUPEES
    return found
