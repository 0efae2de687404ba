"""`make bench`: measure redirects, awards, the flusher and memory on a stack of its own.

It reports and never fails on speed. See `loadtests/README.md` for how to read the numbers.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import uvloop

from core.errors import BadSetting
from deploy.local.folders import BadFolder
from deploy.local.postgres import ServerFailed
from deploy.local.stack import App, StackFailed
from loadtests import (
    cases,
    comparison,
    cores,
    crowd,
    datasets,
    flushing,
    listing,
    measured,
    memory,
    postbacks,
    report,
    results,
    signing_in,
    stack,
    subjects,
    syncing,
    tables,
    wrk_runner,
)
from loadtests import shop as shops
from loadtests.cases import Case
from loadtests.comparison import Contest
from loadtests.effort import FULL, QUICK, Effort
from loadtests.measured import Measured
from loadtests.results import OURS, Row
from loadtests.stack import BenchStack

NO_WRK: Final = "wrk is not installed: the closed loop ran on our own generator"
NO_NGINX: Final = "nginx, the physical limit, is not installed"


class Bench:
    """One benchmark on one stack; `rows` grows as it goes on."""

    def __init__(self, running: BenchStack, effort: Effort, folder: Path) -> None:
        self._stack = running
        self._effort = effort
        self._runs = 0
        self._members = _listed(
            folder / "members.txt", datasets.zipf(running.seed.members, datasets.SAMPLES)
        )
        self._slugs = _listed(
            folder / "slugs.txt", datasets.zipf(list(crowd.slugs()), crowd.VISITS)
        )
        self._redirector, self._ordinary, self._gateway = (
            subjects.ours(running, app)
            for app in (running.redirector, running.ordinary, running.gateway)
        )
        self.rows: list[Row] = []
        self.missing: list[str] = [] if wrk_runner.find() else [NO_WRK]

    def run(self) -> None:
        """Measure everything."""
        chosen = self.compare(
            [
                *cases.redirects(self._ordinary, "ordinary", ["always"]),
                *cases.batch_awards(
                    self._gateway, cases.batch_load(self._stack.seed, self._members)
                ),
            ]
        )
        self._stack.use("always")
        for case in chosen:
            is_usual = case.link == "splice" or case.what == "award"
            if case.is_core and is_usual and case.subject.name == OURS:
                self._open(case, "")
        if not self._effort.is_quick:
            self._open_beside(chosen)
        for redirectors in (1, 8):
            self._add(flushing.clicks(self._stack, self._effort, redirectors))
        self._add(flushing.points_events(self._stack, self._effort))
        self._stack.fill()
        for row in signing_in.measure(self._stack, self._effort):
            self._add(row)
        self._stack.fill()
        self.cashback()
        self._stack.fill()
        self._add(memory.measure(self._stack))

    def cashback(self) -> None:
        """Measure what has to do with affiliate networks, and lists of offers."""
        shop = uvloop.run(shops.open_shop(self._stack))
        self._add(listing.measure(self._stack, self._effort, shop))
        for measure in (postbacks.measure, syncing.measure):
            for row in measure(self._stack, self._effort, shop):
                self._add(row)

    def compare(self, more: Sequence[Case]) -> list[Case]:
        """Measure ours, the peers and `more` under the same conditions; what was measured."""
        blobs = crowd.snapshots(self._stack.seed.program_id, ["splice"])
        with subjects.nginx() as limit, comparison.entered(self._stack, blobs) as peers:
            if limit is None:
                self.missing.append(NO_NGINX)
            self.missing += peers.missing
            chosen = [*([] if limit is None else cases.limits(limit)), *self._all(peers), *more]
            chosen = [case for case in chosen if case.is_core or not self._effort.is_quick]
            chosen.sort(key=_order)
            self._alternate(chosen)
            if not self._effort.is_quick:
                self._compare_crowd(peers, blobs)
        if not self._effort.is_quick:
            self._compare_several(2)
        return chosen

    def _all(self, peers: Contest) -> list[Case]:
        load = cases.award_load(self._stack.seed, self._members)
        chosen = cases.redirects(self._redirector, "fast")
        for subject in peers.redirectors:
            chosen += cases.peer_redirects(subject)
        chosen += cases.single_awards(self._gateway, load, cases.AWARD_TARGET)
        for subject in peers.gateways:
            chosen += cases.single_awards(subject, load)
        return chosen

    def _compare_crowd(self, peers: Contest, blobs: Mapping[str, bytes]) -> None:
        """Many links; ours reads each from Redis when it is first asked for."""
        uvloop.run(crowd.publish(self._stack.settings.redis_url, blobs))
        chosen = [cases.crowd_redirects(self._redirector, "fast", self._slugs)]
        chosen += [cases.crowd_redirects(one, "-", self._slugs) for one in peers.redirectors]
        cases.closed(chosen[0], self._name(), cases.WARM_UP_S)
        self._alternate(chosen, self._stack.empty_streams)

    def _compare_several(self, processes: int) -> None:
        """So many processes of each, on all cores, where the generator and Redis are as well."""
        apps = (self._stack.redirector, self._stack.gateway)
        for app in apps:
            self._stack.restart(app, processes)
        with comparison.entered(self._stack, {}, processes=processes) as peers:
            self.missing += peers.missing
            chosen = [
                case._replace(processes=processes, target=None, is_core=False)
                for case in self._all(peers)
                if (case.connections, case.link) in {(64, "splice"), (64, "-")}
                and case.headers != "1 KiB"
            ]
            chosen.sort(key=_order)
            self._alternate(chosen)
        for app in apps:
            self._stack.restart(app)

    def _alternate(self, chosen: Sequence[Case], prepare: Callable[[], None] | None = None) -> None:
        """All cases one after the other, in rounds, so that a noisy minute harms each a little."""
        found: dict[int, list[tuple[Measured, float]]] = {
            number: [] for number in range(len(chosen))
        }
        for turn in range(self._effort.rounds):
            print(f"round {turn + 1} of {self._effort.rounds}", flush=True)
            (prepare or self._stack.fill)()
            for number, case in enumerate(chosen):
                self._condition(case)
                found[number].append(self._closed(case))
        for number, case in enumerate(chosen):
            rounds = [one for one, _ in found[number]]
            cpu_us = sorted(cpu for _, cpu in found[number])[len(rounds) // 2]
            self._add(_row(case, rounds, loop="closed", cpu_us=cpu_us, target=case.target))

    def _closed(self, case: Case) -> tuple[Measured, float]:
        used, seconds = case.subject.cpu_s(), self._effort.closed_s
        one = cases.closed(case, self._name(), seconds)
        used = case.subject.cpu_s() - used
        facts = (case.lane, case.link, case.headers, case.durability or "-")
        print(
            f"  {case.subject.name}: {case.what} {' '.join(fact for fact in facts if fact != '-')} "
            f"×{case.connections}: {one.per_second * case.factor:,.0f} {case.unit}",
            flush=True,
        )
        return one, used / max(1.0, one.per_second * seconds * case.factor) * 1e6

    def _open_beside(self, chosen: Sequence[Case]) -> None:
        """The fast lanes at half their load, while something else goes on."""
        fast = [case for case in chosen if case.is_core and case.subject.name == OURS]
        for case in fast:
            if case.lane == "fast" and case.link == "splice":
                self._beside(case, self._stack.redirector)
            elif case.what == "award":
                self._beside(case, self._stack.gateway)

    def _beside(self, case: Case, app: App) -> None:
        with self._stack.flushing():
            self._open(case, ", flusher at work")
        replacing = threading.Timer(self._effort.open_s / 2, self._stack.replace, [app])
        replacing.start()
        try:
            self._open(case, ", workers replaced")
        finally:
            replacing.join()

    def _open(self, case: Case, beside: str) -> None:
        closed = next(row for row in self.rows if _conditions(row) == _conditions(case))
        rate = closed.value / case.factor / 2
        if not beside:
            self._stack.fill()
        # The first requests fill caches; they are not what this row is about.
        cases.opened(case, self._name(), 1.0, rate / 2)
        # What goes on beside it is there for one of them only.
        times = 1 if beside else self._effort.open_rounds
        rounds = [cases.opened(case, self._name(), self._effort.open_s, rate) for _ in range(times)]
        self._add(
            _row(
                case,
                rounds,
                loop=f"open, {rate:,.0f}/s{beside}",
                stall_ms=measured.median(rounds).stall_ms,
                target=cases.OPEN_TARGETS[case.lane],
            )
        )

    def _condition(self, case: Case) -> None:
        self._stack.empty_streams()
        if case.durability is not None:
            self._stack.use(case.durability)

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(tables.progress(row), flush=True)

    def _name(self) -> str:
        self._runs += 1
        return f"run{self._runs}"


def _listed(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _order(case: Case) -> tuple[object, ...]:
    """Cases of the same conditions side by side, whoever the subject is."""
    return case.what, case.durability or "", case.headers, case.connections, case.link


def _conditions(one: Case | Row) -> tuple[object, ...]:
    """What a case has in common with its row."""
    facts = (one.what, one.lane, one.link, one.headers, one.connections, one.durability)
    return (*facts, one.processes, one.subject if isinstance(one, Row) else one.subject.name)


def _row(case: Case, rounds: list[Measured], **facts: object) -> Row:
    return results.row(
        case.what,
        rounds,
        unit=case.unit,
        median=measured.median(rounds),
        factor=case.factor,
        subject=case.subject.name,
        lane=case.lane,
        link=case.link,
        headers=case.headers,
        durability=case.durability or "-",
        connections=case.connections,
        processes=case.processes,
        **facts,
    )


def main() -> int:
    """Measure, print, write; 1 only when the stack cannot run."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes, the main rows only")
    parser.add_argument("--peers", action="store_true", help="only ours beside the peers")
    parser.add_argument("--cashback", action="store_true", help="only networks and offers")
    parser.add_argument("--write", action="store_true", help="keep a copy and renew docs/")
    arguments = parser.parse_args()
    # Whoever ends us, the stack and its folder go with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load = os.getloadavg()[0]
    effort = QUICK if arguments.quick else FULL
    try:
        with stack.running() as running, cores.pinned(cores.GENERATOR):
            bench = Bench(running, effort, running.folder)
            if arguments.cashback:
                bench.cashback()
            elif arguments.peers:
                bench.compare([])
            else:
                bench.run()
    except KeyboardInterrupt:
        return 130
    except (BadFolder, BadSetting, ServerFailed, StackFailed) as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    found = results.Results(
        date=dt.datetime.now(dt.UTC).replace(microsecond=0),
        commit=results.commit(),
        is_quick=effort.is_quick,
        machine=results.machine(load),
        generator="our own generator" if NO_WRK in bench.missing else "wrk",
        rows=comparison.with_ratios(bench.rows),
        missing=bench.missing,
    )
    lines = [tables.cells(row) for row in found.rows]
    print(f"\n{tables.plain(tables.HEADINGS, lines, tables.WORDS)}")
    for what in found.missing:
        print(f"missing: {what}")
    print(f"written to {results.save(found, keep=arguments.write)}")
    if arguments.write:
        report.write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
