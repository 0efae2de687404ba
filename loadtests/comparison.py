"""Ours and the peers: who is compared with whom, and the ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import redis as redis_py

from core import keyring, linkrules, links
from core.linkrules import Link
from db import keys
from loadtests.peers import running, same, told
from loadtests.peers.packages import PeerMissing
from loadtests.peers.running import Peer
from loadtests.results import OURS, Row, Target
from loadtests.stack import BenchStack
from loadtests.subjects import LIMIT, Subject

# The kinds of links that the peers know.
KINDS: Final = ("static", "splice")
TARGETS: Final[Mapping[tuple[str, str], Target]] = {
    ("redirect", running.BUN_WRITE.name): Target(ratio_at_least=1.15),
    ("redirect", running.BUN_BATCH.name): Target(ratio_at_least=0.75),
    ("redirect", running.NODE.name): Target(ratio_at_least=2.5),
    ("redirect", LIMIT): Target(ratio_at_least=0.3),
    ("award", running.FASTIFY.name): Target(ratio_at_least=2.0),
    ("award", running.BUN_AWARD.name): Target(ratio_at_least=1.0),
}
LONG_HEADERS: Final = Target(ratio_at_least=1.1)


class Contest(NamedTuple):
    """The peers that run and do the whole job, and why others do not."""

    redirectors: list[Subject]
    gateways: list[Subject]
    missing: list[str]


class _Entry:
    """Starts peers on a stack and holds their answers against ours."""

    def __init__(self, stack: BenchStack, redis: redis_py.Redis, path: Path) -> None:
        ring = keyring.parse(Path(stack.settings.keyring_file).read_bytes())
        self._stack = stack
        self._told = {
            "redirect": told.redirector(stack.settings, ring, path),
            "award": told.gateway(stack.settings, ring, _run_id(redis)),
        }
        self._redirectors = same.Redirectors(redis, ring, stack.seed.program_id)
        self._gateways = same.Gateways(redis, stack.seed)

    def enter(self, peer: Peer, peers: ExitStack, processes: int) -> Subject:
        """The peer, once it has shown that it does the job; raises PeerMissing."""
        starting = running.started(
            peer, self._told[peer.what], self._stack.folder, processes=processes
        )
        subject = peers.enter_context(starting)
        difference = next(self._differences(peer, subject.port), None)
        if difference is not None:
            raise PeerMissing(f"it does not do the same job: {difference}")
        return subject

    def _differences(self, peer: Peer, port: int) -> Iterator[str]:
        if peer.what == "redirect":
            return self._redirectors.differences(self._stack.redirector.port, port, KINDS)
        return self._gateways.differences(self._stack.gateway.port, port)


@contextmanager
def entered(
    stack: BenchStack, others: Mapping[str, bytes], *, processes: int = 1
) -> Iterator[Contest]:
    """All peers beside our apps; their redirectors know the seed's links and these snapshots."""
    contest = Contest([], [], [])
    with ExitStack() as peers, stack.redis() as redis:
        path = stack.folder / "links.json"
        told.write_links(path, _links(redis, others))
        entry = _Entry(stack, redis, path)
        for peer in (*running.REDIRECTS, *running.AWARDS):
            entered_here = contest.redirectors if peer.what == "redirect" else contest.gateways
            try:
                entered_here.append(entry.enter(peer, peers, processes))
            except PeerMissing as error:
                contest.missing.append(f"{peer.name} ({peer.what}): {error}")
        yield contest


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """The rows, those of peers with ours divided by theirs, and what that should be."""
    ours = {_conditions(row): row for row in rows if row.subject == OURS and row.lane != "ordinary"}
    return [
        row if row.subject == OURS else _with_ratio(row, ours.get(_conditions(row))) for row in rows
    ]


def _with_ratio(row: Row, ours: Row | None) -> Row:
    if ours is None or not row.value:
        return row
    target = TARGETS.get((row.what, row.subject))
    if row.subject == running.BUN_WRITE.name and row.headers == "1 KiB":
        target = LONG_HEADERS
    return msgspec.structs.replace(row, ratio=_ratio(ours, row), target=target)


def _ratio(ours: Row, theirs: Row) -> float:
    """The median of the rounds' ratios: two that ran one after the other had the same machine."""
    pairs = list(zip(ours.each, theirs.each, strict=False))
    if not pairs or not all(theirs.each):
        return ours.value / theirs.value
    return statistics.median(ours_s / theirs_s for ours_s, theirs_s in pairs)


def _conditions(row: Row) -> tuple[object, ...]:
    """What two rows that are compared have in common; the limit is held against the usual row."""
    link, durability = row.link, row.durability
    if row.subject == LIMIT:
        link, durability = "splice", "always"
    return row.what, link, row.headers, durability, row.connections, row.processes, row.loop


def _links(redis: redis_py.Redis, others: Mapping[str, bytes]) -> dict[str, Link]:
    seeded: dict[str, Any] = {kind: redis.hget(keys.link_snapshot(kind), "b") for kind in KINDS}
    blobs = {**seeded, **others}
    return {slug: linkrules.build(links.decode(blob)) for slug, blob in blobs.items()}


def _run_id(redis: redis_py.Redis) -> str:
    return str(redis.info("server")["run_id"])
