"""The page on payout providers says what the code has."""

from __future__ import annotations

import re
import shlex
from typing import get_args

from core.providers.payouts import builtin, cashfree, razorpayx
from core.withdrawals import News
from tests import sources
from tests.providers.payouts import __main__ as demo

PAGE = (sources.ROOT / "docs" / "payouts.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| `([\w-]+)` \| .+? \| .+? \| .+? \| .+; \w+ of the last (\d+) days \|$", re.MULTILINE
)
STATE = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
COMMAND = re.compile(r"-m tests\.providers\.payouts (.+?) \\\n +(.+)$", re.MULTILINE)


def test_the_table_of_providers_is_the_code_s() -> None:
    days = {"razorpayx": razorpayx.AGE_S_MAX, "cashfree-payouts": cashfree.AGE_S_MAX}
    assert [slug for slug, _ in ROW.findall(PAGE)] == list(builtin.TABLE)
    assert {slug: int(text) * 86_400 for slug, text in ROW.findall(PAGE)} == days


def test_the_table_of_states_is_the_code_s() -> None:
    rows = [row for row in STATE.findall(PAGE) if row[0] in get_args(News)]
    assert len(rows) == 4
    for column, states in ((1, razorpayx.STATES), (2, cashfree.STATES)):
        said = {word: row[0] for row in rows for word in re.findall(r"`(\w+)`", row[column])}
        assert said == states


def test_the_command_of_the_page_can_be_read() -> None:
    said = COMMAND.search(PAGE)
    assert said is not None
    given = demo.parser().parse_args([*shlex.split(said[1]), *shlex.split(said[2])])
    assert (given.slug, given.then) == ("razorpayx", "paid")
