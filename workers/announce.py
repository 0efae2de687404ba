"""What the outside hears of: webhook events of awards and clicks, queued in the flush."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from core import clickid, events, ids
from db import ledger, webhooks
from db.pg import Db

CLICKS_A_WEBHOOK: Final = 50
WANTED_TTL_S: Final = 1.0

#: Type of the points event → type of the webhook, and the kind of id that names it.
TYPES: Final[dict[str, tuple[str, ids.Kind]]] = {
    "award": ("award.created", "award"),
    "reversal": ("award.reversed", "reversal"),
}
Wanted = set[tuple[str, str]]


class Announcer:
    """Queues webhook events; who wants which is read again each second."""

    def __init__(self) -> None:
        self._wanted: Wanted = set()
        self._read_at = float("-inf")

    async def __call__(
        self, db: Db, placed: list[ledger.Placed], clicks: list[events.Click]
    ) -> None:
        """Write the outbox rows for these events, in the caller's transaction."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at > WANTED_TTL_S:
            self._wanted, self._read_at = await webhooks.wanted(db), now
        if self._wanted:
            queued = _points(self._wanted, placed) + _clicks(self._wanted, clicks)
            await webhooks.queue_events(db, queued)


def _points(wanted: Wanted, placed: list[ledger.Placed]) -> list[webhooks.Event]:
    queued = []
    for item in placed:
        name, kind = TYPES.get(item.event.facts.type, ("", "award"))
        program_id, member_id, unit = events.parse_account(item.event.account)
        if (program_id, name) not in wanted:
            continue
        facts = item.event.facts
        event_id = ids.event_id(
            kind, ids.EventRef(item.partition, item.generation, item.sequence, facts.recorded_at_ms)
        )
        data: dict[str, Any] = {
            "id": event_id,
            "member": member_id,
            "kind": unit,
            "amount": item.event.amount,
            "balance": item.event.balance,
            "sequence": item.sequence,
            "reason": facts.reason,
            "reference": facts.reference,
        }
        queued.append(webhooks.Event(program_id, name, event_id, facts.recorded_at_ms, data))
    return queued


def _clicks(wanted: Wanted, clicks: list[events.Click]) -> list[webhooks.Event]:
    by_program: dict[str, list[events.Click]] = {}
    for click in clicks:
        if (click.program_id, "click.recorded") in wanted:
            by_program.setdefault(click.program_id, []).append(click)
    queued = []
    for program_id, theirs in by_program.items():
        for start in range(0, len(theirs), CLICKS_A_WEBHOOK):
            portion = theirs[start : start + CLICKS_A_WEBHOOK]
            # Named after its first click: a flush that is repeated queues the same event.
            first = portion[0].click_id
            data = {"clicks": [_click(click) for click in portion]}
            at_ms = clickid.decode(first).ms
            queued.append(webhooks.Event(program_id, "click.recorded", f"evt_{first}", at_ms, data))
    return queued


def _click(click: events.Click) -> dict[str, Any]:
    return {
        "click_id": click.click_id,
        "link": click.link_id,
        "class": click.hit_class,
        "member": click.member_id,
        "variant": click.variant,
    }
