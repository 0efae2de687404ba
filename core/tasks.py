"""What goes through the outbox: tasks, and which actor on which queue performs them.

A task only names what to look at. Its actor reads the state again and does nothing when the work
is done, so a task may be sent any number of times.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from core.errors import BadTask


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of all tasks."""


class DeliverWebhook(Task, frozen=True):
    """Send a webhook delivery to its endpoint."""

    delivery_id: str


class PublishLink(Task, frozen=True):
    """Publish again what is under a slug, should the one right after the commit have failed.

    A link that is gone can't tell its slug, so the task does; `version` is the one that was drawn.
    """

    slug: str
    version: int


class SendNotification(Task, frozen=True):
    """Send a message to a member or an operator."""

    notification_id: str


class SendCode(Task, frozen=True):
    """Make the one-time code that was asked for, if somebody has the contact, and have it sent."""

    code_id: str


class ExportMember(Task, frozen=True):
    """Write down all that is known of a member."""

    export_id: str


class EraseMember(Task, frozen=True):
    """Forget who a member is."""

    erasure_id: str


class PayWithdrawal(Task, frozen=True):
    """Have an approved withdrawal paid by its provider, and see what became of it."""

    withdrawal_id: str


class TellCashback(Task, frozen=True):
    """Tell members of the cashback that these conversions made available."""

    conversion_ids: list[str]


class TellReferral(Task, frozen=True):
    """Tell both members of a referral what they were given for it."""

    referral_id: str


class SyncNetwork(Task, frozen=True):
    """Ask an affiliate network what has changed."""

    network_id: str


class AskNetwork(Task, frozen=True):
    """Ask an affiliate network about the purchase of a claim."""

    program_id: str
    claim_id: str


class Reclassify(Task, frozen=True):
    """Have a fraud rule look at conversions again."""

    reclassification_id: str


class Route(NamedTuple):
    """Where a task goes; the actor's name is also the task's name in the outbox. What `is_long`
    says from time to time that it is under way."""

    queue: str
    actor: str
    is_long: bool = False


TASKS: Final[dict[type[Task], Route]] = {
    DeliverWebhook: Route(queue="default", actor="deliver_webhook"),
    PublishLink: Route(queue="default", actor="publish_link"),
    SendNotification: Route(queue="notifications", actor="send_notification"),
    SendCode: Route(queue="notifications", actor="send_code"),
    ExportMember: Route(queue="default", actor="export_member", is_long=True),
    EraseMember: Route(queue="default", actor="erase_member", is_long=True),
    PayWithdrawal: Route(queue="default", actor="pay_withdrawal"),
    TellCashback: Route(queue="notifications", actor="tell_cashback"),
    TellReferral: Route(queue="notifications", actor="tell_referral"),
    SyncNetwork: Route(queue="default", actor="sync_network"),
    AskNetwork: Route(queue="default", actor="ask_network"),
    Reclassify: Route(queue="default", actor="reclassify", is_long=True),
}

_TYPES: Final = {route.actor: task for task, route in TASKS.items()}


def dump(task: Task) -> tuple[str, bytes]:
    """The task's name and its JSON payload."""
    return TASKS[type(task)].actor, msgspec.json.encode(task)


def load(name: str, payload: bytes) -> Task:
    """The task that `dump` wrote, or BadTask."""
    try:
        return msgspec.json.decode(payload, type=_TYPES[name])
    except (KeyError, msgspec.DecodeError) as error:
        raise BadTask(f"{name}: {error}") from None
