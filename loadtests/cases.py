"""The cases of the benchmark: which load against which subject under which conditions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from loadtests import crowd, datasets, generator, seed, stack, wrk_runner
from loadtests.measured import Measured
from loadtests.results import Target
from loadtests.seed import Seed
from loadtests.stack import Durability
from loadtests.subjects import Subject

Lane = Literal["fast", "ordinary", "-"]

CONNECTIONS: Final = (64, 256)
DURABILITIES: Final[tuple[Durability, ...]] = ("always", "everysec")
BATCH: Final = 500
WARM_UP_S: Final = 5.0
CROWD: Final = f"{crowd.LINKS:,} by Zipf"
BATCH_CONNECTIONS: Final = 16
REDIRECT_TARGET: Final = Target(at_least=15_000)
AWARD_TARGET: Final = Target(at_least=10_000)
BATCH_TARGET: Final = Target(at_least=60_000)
OPEN_TARGETS: Final[dict[Lane, Target]] = {
    "fast": Target(p99_ms_below=5.0, max_ms_below=30.0),
    "-": Target(p99_ms_below=5.0, max_ms_below=30.0),
    "ordinary": Target(p99_ms_below=10.0),
}


class Load(NamedTuple):
    """What to send, told in both generators' ways; both get the name of the run, which makes its
    idempotency keys unique.
    """

    path: str
    headers: datasets.Headers
    status: int
    requests: Callable[[str], Iterator[bytes]]
    script: str = "report.lua"
    arguments: Callable[[str], Sequence[str]] = lambda _run: ()


class Case(NamedTuple):
    """One row to be. `is_core` cases are the ones of a quick run."""

    what: str
    subject: Subject
    load: Load
    connections: int
    durability: Durability | None
    unit: str
    lane: Lane = "-"
    link: str = "-"
    headers: str = "-"
    factor: int = 1
    processes: int = 1
    target: Target | None = None
    is_core: bool = False


def closed(case: Case, run: str, seconds: float) -> Measured:
    """Load a case with wrk, or with our own generator where there is none."""
    load, port = case.load, case.subject.port
    binary = wrk_runner.find()
    if binary is not None:
        return wrk_runner.run(
            binary,
            f"http://{stack.HOST}:{port}{load.path}",
            connections=case.connections,
            seconds=seconds,
            headers=load.headers,
            script=load.script,
            arguments=load.arguments(run),
        )
    target = generator.Target(stack.HOST, port, load.requests(run), load.status)
    return generator.closed_loop(target, connections=case.connections, seconds=seconds)


def opened(case: Case, run: str, seconds: float, rate: float) -> Measured:
    """Load a case with `rate` requests a second."""
    load = case.load
    target = generator.Target(stack.HOST, case.subject.port, load.requests(run), load.status)
    return generator.open_loop(target, connections=case.connections, seconds=seconds, rate=rate)


def redirects(
    subject: Subject,
    lane: Lane,
    durabilities: Sequence[Durability] = DURABILITIES,
    links: Sequence[str] = tuple(seed.LINKS),
) -> list[Case]:
    """These links, with all headers and connections."""
    return [
        Case(
            what="redirect",
            subject=subject,
            load=redirect_load(link, headers),
            connections=connections,
            durability=durability,
            unit="redirects/s",
            lane=lane,
            link=link,
            headers=headers,
            target=REDIRECT_TARGET if durability == "always" and lane == "ordinary" else None,
            is_core=durability == "always" and connections == 64 and headers == "short",
        )
        for durability, link, headers, connections in itertools.product(
            durabilities, links, datasets.HEADERS, CONNECTIONS
        )
    ]


def peer_redirects(subject: Subject) -> list[Case]:
    """The links with a click id in them."""
    return redirects(subject, "-", links=["splice"])


def crowd_redirects(subject: Subject, lane: Lane, slugs_file: Path) -> Case:
    """Many links, visited by Zipf."""
    return Case(
        what="redirect",
        subject=subject,
        load=crowd_load(slugs_file),
        connections=64,
        durability="always",
        unit="redirects/s",
        lane=lane,
        link=CROWD,
        headers="short",
    )


def limits(subject: Subject) -> list[Case]:
    """Redirects of a server that does nothing else."""
    return [
        Case(
            what="redirect",
            subject=subject,
            load=redirect_load("limit", headers),
            connections=64,
            durability=None,
            unit="redirects/s",
            headers=headers,
            is_core=headers == "short",
        )
        for headers in datasets.HEADERS
    ]


def single_awards(subject: Subject, load: Load, target: Target | None = None) -> list[Case]:
    """Awards one by one."""
    return [
        Case(
            what="award",
            subject=subject,
            load=load,
            connections=connections,
            durability=durability,
            unit="awards/s",
            headers="token",
            target=target if durability == "always" else None,
            is_core=durability == "always" and connections == 64,
        )
        for durability, connections in itertools.product(DURABILITIES, CONNECTIONS)
    ]


def batch_awards(subject: Subject, load: Load) -> list[Case]:
    """Awards in batches."""
    return [
        Case(
            what=f"award, batches of {BATCH}",
            subject=subject,
            load=load,
            connections=BATCH_CONNECTIONS,
            durability=durability,
            unit="awards/s",
            headers="token",
            factor=BATCH,
            target=BATCH_TARGET if durability == "always" else None,
            is_core=durability == "always",
        )
        for durability in DURABILITIES
    ]


def redirect_load(slug: str, headers: str) -> Load:
    """Visits of one link."""
    request = datasets.redirect_request(slug, datasets.HEADERS[headers])
    return Load(
        path=f"/r/{slug}",
        headers=datasets.HEADERS[headers],
        status=302,
        requests=lambda _run: itertools.repeat(request),
    )


def crowd_load(slugs_file: Path) -> Load:
    """Visits of the links whose slugs stand in the file."""
    return Load(
        path="/",
        headers=datasets.SHORT,
        status=302,
        requests=lambda _run: itertools.cycle(
            datasets.redirect_request(slug, datasets.SHORT)
            for slug in slugs_file.read_text().split()
        ),
        script="zipf.lua",
        arguments=lambda _run: (str(slugs_file),),
    )


def award_load(seeded: Seed, members_file: Path) -> Load:
    """Awards, each under a new key."""
    return Load(
        path="/v1/awards",
        headers=datasets.api_headers(seeded.token),
        status=201,
        requests=lambda run: datasets.award_requests(seeded.members, seeded.token, run),
        script="award.lua",
        arguments=lambda run: (run, str(members_file)),
    )


def batch_load(seeded: Seed, members_file: Path) -> Load:
    """Batches of awards, each under a new key."""
    return Load(
        path="/v1/awards/batch",
        headers=datasets.api_headers(seeded.token),
        status=200,
        requests=lambda run: datasets.batch_requests(seeded.members, seeded.token, run, BATCH),
        script="batch.lua",
        arguments=lambda run: (run, str(members_file), str(BATCH)),
    )
