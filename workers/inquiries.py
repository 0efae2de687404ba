"""Asks networks about purchases that they have not reported: by their API where they have one for
that, else by mail to whom the account names, else not at all: then the file of claims is sent by
hand.

A kill between the network's answer and our note has it asked again, by the claim's id, under which
the network finds what it was asked before.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from core import conversions, money
from core.errors import BadField, BadSetting, NetworkNotFound
from core.money import Money
from core.providers.affiliate.protocol import (
    CanInquire,
    CanPull,
    Inquiry,
    PullFailed,
    Temporary,
    Throttled,
)
from core.tasks import AskNetwork
from db import inquiries, networks, notifications, outbox
from db.inquiries import Question
from db.networks import Network
from workers import loop, pacing
from workers.broker import Tools

#: What a network gets that does not answer.
WAIT_S: Final = 900.0
TEMPLATE: Final = "claim_inquiry"


async def ask(tools: Tools, row_id: int, task: AskNetwork) -> None:
    """Ask once, and note how; later if the network cannot be reached or has been asked enough."""
    async with tools.pool.acquire() as db:
        question = await inquiries.question(db, task.program_id, task.claim_id)
        if question is None:
            await outbox.done(db, row_id)
            return
        network = await _network(tools, task.program_id, question)
    try:
        reference, problem = await _by_api(tools, network, question)
    except (pacing.Spent, Throttled, Temporary) as error:
        await _put_off(tools, row_id, task, error)
        return
    await _note(tools, row_id, task, network, question, reference, problem)


async def _network(tools: Tools, program_id: str, question: Question) -> Network | None:
    """The account that the click went through, if that is one that is to be used."""
    try:
        async with tools.pool.acquire() as db:
            network = await networks.get(db, program_id, question.network_id or "")
    except NetworkNotFound:
        return None
    return network if network.state == "enabled" else None


async def _by_api(
    tools: Tools, network: Network | None, question: Question
) -> tuple[str | None, str | None]:
    """The network's own id of the inquiry, or why there is none; pacing.Spent, Throttled,
    Temporary."""
    if network is None or network.credentials is None:
        return None, None
    try:
        provider = networks.made(tools.ring, network)
        if not (isinstance(provider, CanInquire) and isinstance(provider, CanPull)):
            return None, None
        send = pacing.paced(tools, network, provider.terms)
        return await provider.inquire(send, _inquiry(question)), None
    except (BadSetting, BadField):
        return None, "the settings or the credentials of the account cannot be used"
    except (Throttled, Temporary):
        raise
    except PullFailed as error:
        return None, str(error)[:500]


async def _note(
    tools: Tools,
    row_id: int,
    task: AskNetwork,
    network: Network | None,
    question: Question,
    reference: str | None,
    problem: str | None,
) -> None:
    address = None if network is None else network.config.get("contact_email")
    way: inquiries.Way = "api" if reference else "mail" if address else "file"
    now = conversions.moment(loop.now_ms())
    said = {"reference": reference, "problem": problem}
    async with tools.pool.acquire() as db, db.transaction():
        is_first = await inquiries.note(db, task.program_id, task.claim_id, way, now, **said)
        if is_first and way == "mail" and network is not None and address is not None:
            await notifications.add(db, tools.ring, _mail(network, address, question))
        await outbox.done(db, row_id)


async def _put_off(
    tools: Tools, row_id: int, task: AskNetwork, error: pacing.Spent | Throttled | Temporary
) -> None:
    wait_s = WAIT_S
    if isinstance(error, pacing.Spent):
        wait_s = error.wait_s
    elif isinstance(error, Throttled):
        wait_s = error.retry_after_s
    async with tools.pool.acquire() as db, db.transaction():
        await inquiries.put_off(db, task.program_id, task.claim_id, str(error)[:500])
        await outbox.done(db, row_id)
        await outbox.add(db, task, due_at_ms=loop.now_ms() + int(wait_s * 1000))


def _inquiry(question: Question) -> Inquiry:
    return Inquiry(
        claim_id=question.claim_id,
        click_id=question.click_id or "",
        clicked_at_ms=None if question.clicked_at is None else _ms(question.clicked_at),
        campaign=question.campaign or "",
        order_id=question.order_id,
        amount_minor=question.order_minor,
        currency=question.order_currency,
        ordered_at_ms=_ms(question.ordered_at),
    )


def _mail(network: Network, address: str, question: Question) -> notifications.New:
    amount = Money(question.order_minor, question.order_currency)
    return notifications.New(
        program_id=network.program_id,
        recipient_kind="network",
        recipient_id=network.id,
        channel="email",
        address=address,
        template=TEMPLATE,
        language="en",
        variables={
            "claim": question.claim_id,
            "order": question.order_id,
            "amount": f"{money.plain(amount)} {amount.currency}",
            "ordered_at": _said(question.ordered_at),
            "merchant": question.merchant or "-",
            "click": question.click_id or "-",
            "clicked_at": "-" if question.clicked_at is None else _said(question.clicked_at),
        },
        dedupe_key=f"{question.claim_id}_inquiry",
    )


def _said(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ms(at: dt.datetime) -> int:
    return (at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
