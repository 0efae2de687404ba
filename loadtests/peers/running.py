"""The peers: which there are, and how one is started and stopped."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from deploy.local.processes import Process
from loadtests import cores, stack
from loadtests.peers import packages
from loadtests.peers.packages import PeerMissing, Runtime
from loadtests.peers.told import Told
from loadtests.subjects import Subject

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 5.0


class Peer(NamedTuple):
    """One way to do our job. `clusters` says that it starts its own processes, else we start more
    of them on the same port.
    """

    name: str
    what: Literal["redirect", "award"]
    runtime: Runtime
    script: str
    clusters: bool = False


BUN_WRITE: Final = Peer("Bun, a write per click", "redirect", "bun", "redirect/bun_write.js")
BUN_BATCH: Final = Peer("Bun, our group commit", "redirect", "bun", "redirect/bun_batch.js")
NODE: Final = Peer("Node + ioredis", "redirect", "node", "redirect/node.js", clusters=True)
FASTIFY: Final = Peer("Fastify + ioredis", "award", "node", "award/fastify.js", clusters=True)
BUN_AWARD: Final = Peer("Bun", "award", "bun", "award/bun.js")
EXPRESS: Final = Peer("Express + ioredis", "award", "node", "award/express.js", clusters=True)
REDIRECTS: Final = (BUN_WRITE, BUN_BATCH, NODE)
AWARDS: Final = (FASTIFY, BUN_AWARD, EXPRESS)


@contextmanager
def started(peer: Peer, told: Told, folder: Path, *, processes: int = 1) -> Iterator[Subject]:
    """The peer, answering; raises PeerMissing. `folder` gets its log and what it is told."""
    packages.install()
    binary = packages.runtime(peer.runtime)
    port = stack.free_port()
    stem = f"{Path(peer.script).stem}-{peer.what}-{port}"
    path = folder / f"{stem}.json"
    path.write_bytes(
        msgspec.json.encode(
            {**told, "host": stack.HOST, "port": port, "processes": processes},
        )
    )
    path.chmod(0o600)
    command = [binary, str(packages.FOLDER / peer.script), str(path)]
    running: list[Process] = []
    try:
        with cores.pinned(cores.serving(processes)):
            for number in range(1 if peer.clusters else processes):
                log = folder / f"{stem}-{number}.log"
                running.append(Process(peer.name, command, log=log, env=_environment()))
        _wait_until_all_listen(running, port, processes if not peer.clusters else 1)
        yield Subject(peer.name, port, lambda: [pid for one in running for pid in _family(one.pid)])
    finally:
        for process in running:
            process.stop(STOP_TIMEOUT_S)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "NODE_ENV": "production"}


def _family(pid: int) -> list[int]:
    return [pid, *cores.children(pid)]


def _wait_until_all_listen(running: list[Process], port: int, listeners: int) -> None:
    """Wait for an answer, and for as many listening sockets as there shall be."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while _listening(port) < listeners or not _is_open(port):
        dead = next((process for process in running if not process.is_alive), None)
        if dead is not None or time.monotonic() > deadline:
            raise PeerMissing(f"{running[0].name} does not start: {(dead or running[0]).tail(5)}")
        time.sleep(0.05)


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((stack.HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _listening(port: int) -> int:
    """How many sockets listen on the port; proc(5), state 0A."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[1].endswith(wanted) and row[3] == "0A" for row in rows)
