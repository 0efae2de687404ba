"""Reading postbacks: from the calls as they came in to conversions and verdicts, in the caller's
transaction. A kill before its commit leaves the calls unread; after it they have their verdicts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from core.conversions import Item, Verdict
from core.keyring import KeyRing
from core.providers.affiliate.protocol import AffiliateNetwork
from core.providers.affiliate.report import Postback, Problem, Report
from db import conversions, networks, postbacks
from db.bookings import Act
from db.pg import Db

BATCH: Final = 500

Work: TypeAlias = Callable[[Db], Awaitable[Verdict]]


async def process(
    db: Db,
    ring: KeyRing,
    program_id: str,
    network_id: str,
    act: Act,
    *,
    only: str | None = None,
    limit: int = BATCH,
) -> list[tuple[str, Verdict]]:
    """Read calls of a network that nobody has read, and note what became of each."""
    network = await networks.lock(db, program_id, network_id)
    calls = await postbacks.unread(db, program_id, network_id, limit=limit, only=only)
    verdicts = await _judged(db, ring, network, calls, act)
    if verdicts:
        await postbacks.judge(db, program_id, verdicts, act.at)
    return verdicts


async def fail(db: Db, program_id: str, postback_id: str, act: Act) -> None:
    """Note that a call cannot be taken, through a fault of ours; a replay tries it again."""
    verdict = Verdict("failed", None, "it could not be taken; replay it once that is mended")
    await postbacks.judge(db, program_id, [(postback_id, verdict)], act.at)


async def replay(db: Db, ring: KeyRing, program_id: str, postback_id: str, act: Act) -> Verdict:
    """Read a call once more, as the network is set up now; PostbackNotFound."""
    call = await postbacks.get(db, program_id, postback_id)
    network = await networks.lock(db, program_id, call.network_id)
    [(_, verdict)] = await _judged(db, ring, network, [call], act)
    await postbacks.judge(db, program_id, [(postback_id, verdict)], act.at)
    return verdict


async def simulate(
    db: Db, ring: KeyRing, network: networks.Network, said: Postback, act: Act
) -> Verdict:
    """What would become of a call to a locked network, if the caller's transaction committed."""
    found = networks.made(ring, network).read_postback(said)
    if isinstance(found, Problem):
        return refused(found)
    [verdict] = await conversions.apply(db, ring, network, [Item(found, "simulated")], act)
    return verdict


def refused(problem: Problem) -> Verdict:
    """The verdict on what cannot be read."""
    return Verdict(problem.code, None, f"{problem.field}: {problem.detail}".removeprefix(": "))


async def _judged(
    db: Db,
    ring: KeyRing,
    network: networks.Network,
    calls: Sequence[postbacks.Call],
    act: Act,
) -> list[tuple[str, Verdict]]:
    if not calls:
        return []
    found = _read(networks.made(ring, network), calls)
    reports = {name: one for name, one in found.items() if isinstance(one, Report)}
    items = [Item(report, name) for name, report in reports.items()]
    applied = await conversions.apply(db, ring, network, items, act) if items else []
    verdicts = dict(zip(reports, applied, strict=True))
    verdicts |= {name: refused(one) for name, one in found.items() if isinstance(one, Problem)}
    return list(verdicts.items())


def _read(
    provider: AffiliateNetwork, calls: Sequence[postbacks.Call]
) -> Mapping[str, Report | Problem]:
    return {call.id: provider.read_postback(call.said) for call in calls}
