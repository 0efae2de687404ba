"""One member's account against a model of it: whatever is asked, in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from core import errors
from core.settings import Settings
from db import awards, decisions, pg, points, redis
from tests.db import accounts
from tests.db.accounts import MEMBER, NOW_MS, PROGRAM, Bank, ask, closing

AMOUNTS = st.integers(1, 100)
T = TypeVar("T")


class Given(NamedTuple):
    """An award that was given."""

    name: str
    amount: int


class Account(RuleBasedStateMachine):
    """The model: what is available, what each open hold has, what is left of each award."""

    url: str
    awards_given = Bundle("awards_given")
    holds_open = Bundle("holds_open")
    asked = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.available = 0
        self.held: dict[str, int] = {}
        self.reversed: dict[str, int] = {}
        self.sequence = 0
        self.bank = self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def open(self) -> Bank:
        self.connection = await redis.Connection.open(self.url)
        await self.connection.call("FLUSHDB")
        await accounts.open_heads(self.connection)
        plain = Settings(database_url="postgresql://nowhere/", redis_url="unix:", queue_url="unix:")
        bank = Bank(points.Points(self.connection, plain), pg.open_pool(plain))
        await bank.state.open_accounts(PROGRAM, [MEMBER])
        return bank

    def teardown(self) -> None:
        self.run(self.connection.close())
        self.loop.close()

    def decide(self, question: awards.Ask, change: int) -> decisions.Decision:
        """It must be done, and move what is available by `change`."""
        decided = self.run(self.bank.decide(question))
        self.available += change
        self.sequence += 1
        assert not decided.is_replay
        assert (decided.sequence, decided.balance) == (self.sequence, self.available)
        return decided

    def refuse(self, question: awards.Ask, error: type[errors.StampgateError]) -> None:
        with pytest.raises(error):
            self.run(self.bank.decide(question))

    @rule(target=awards_given, amount=AMOUNTS)
    def award(self, amount: int) -> Given:
        return Given(accounts.name(self.decide(ask("award", amount), amount)), amount)

    @rule(target=asked, amount=AMOUNTS)
    def spend(self, amount: int) -> Any:
        question = ask("spend", amount)
        if self.available < 0:
            self.refuse(question, errors.BalanceNegative)
        elif self.available < amount:
            self.refuse(question, errors.InsufficientBalance)
        else:
            return question, self.decide(question, -amount)
        return multiple()

    @rule(target=holds_open, amount=AMOUNTS)
    def hold(self, amount: int) -> Any:
        question = ask("hold", amount, expires_in_s=60)
        if self.available < amount:
            self.refuse(
                question,
                errors.BalanceNegative if self.available < 0 else errors.InsufficientBalance,
            )
            return multiple()
        hold = self.decide(question, -amount)
        self.held[accounts.name(hold)] = amount
        return hold

    @rule(target=asked, hold=consumes(holds_open), amount=st.integers(0, 120))
    def capture(self, hold: decisions.Decision, amount: int) -> Any:
        held = self.held[accounts.name(hold)]
        if amount > held:
            self.refuse(closing("capture", hold, amount), errors.CaptureTooLarge)
            amount = held
        question = closing("capture", hold, amount)
        decided = self.decide(question, held - (amount or held))
        assert decided.amount + decided.remainder == self.held.pop(accounts.name(hold))
        self.refuse(closing("release", hold), errors.HoldNotOpen)
        return question, decided

    @rule(target=asked, hold=consumes(holds_open))
    def release(self, hold: decisions.Decision) -> Any:
        question = closing("release", hold)
        return question, self.decide(question, self.held.pop(accounts.name(hold)))

    @rule(target=asked, given=awards_given, amount=st.integers(0, 120))
    def reverse(self, given: Given, amount: int) -> Any:
        left = given.amount - self.reversed.get(given.name, 0)
        question = ask("reverse", amount, related=given.name, bound=given.amount)
        taken = amount or left
        if not 0 < taken <= left:
            self.refuse(question, errors.ReversalTooLarge)
            return multiple()
        self.reversed[given.name] = self.reversed.get(given.name, 0) + taken
        return question, self.decide(question, -taken)

    @rule(before=asked)
    def replay(self, before: tuple[awards.Ask, decisions.Decision]) -> None:
        question, first = before
        again = self.run(self.bank.decide(question, NOW_MS + 1))
        assert again == first._replace(is_replay=True)

    @invariant()
    def balances_are_the_models(self) -> None:
        found = self.run(self.bank.balance())
        assert found == (self.available, sum(self.held.values()))

    @invariant()
    def every_decision_is_in_the_stream(self) -> None:
        assert len(self.run(accounts.written(self.connection))) == self.sequence


def test_an_account_is_what_the_model_says(redis_url: str) -> None:
    Account.url = redis_url
    run_state_machine_as_test(
        Account,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
