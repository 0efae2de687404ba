"""The peers of the benchmark do the whole job: as we do it, or they are not compared."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis as redis_py

from core import keyring, linkrules, links, settings
from core.settings import Settings
from db import keys
from deploy.local.postgres import DatabaseUrls
from loadtests import comparison, crowd, seed
from loadtests.peers import packages, running, same, told
from loadtests.peers.packages import PeerMissing
from loadtests.peers.running import Peer
from loadtests.seed import Seed
from tests.gateway.conftest import running as gateway
from tests.redirector.workers import workers

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
PROGRAM = seed.new_id("program")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis_py.Redis]:
    with redis_py.Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def environ(redis_url: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "keyring.json").write_bytes(keyring.dump(RING))
    return {
        "STAMPGATE_DATABASE_URL": "postgresql://nowhere/",
        "STAMPGATE_REDIS_URL": redis_url,
        "STAMPGATE_QUEUE_URL": redis_url,
        "STAMPGATE_KEYRING_FILE": os.fspath(tmp_path / "keyring.json"),
        "STAMPGATE_SPOOL_DIR": os.fspath(tmp_path / "spool"),
        "STAMPGATE_CLICK_DEADLINE_MS": "2000",
    }


@pytest.fixture
def links_file(redis_url: str, tmp_path: Path) -> Path:
    """The links of the comparison, published and written down."""
    blobs = {kind: _snapshot(kind) for kind in comparison.KINDS}
    asyncio.run(crowd.publish(redis_url, blobs))
    path = tmp_path / "links.json"
    built = {slug: linkrules.build(links.decode(blob)) for slug, blob in blobs.items()}
    told.write_links(path, built)
    return path


def _snapshot(kind: str) -> bytes:
    link_id = seed.new_id("link")
    return links.encode(links.compile_snapshot(link_id, PROGRAM, 1, seed.config(kind, kind), None))


def runnable(peer: Peer) -> None:
    """Skip the test where the peer is not installed."""
    if not packages.is_installed():
        pytest.skip("the peers' packages are not installed: `make bench` installs them")
    try:
        packages.runtime(peer.runtime)
    except PeerMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("peer", running.REDIRECTS, ids=lambda peer: peer.name)
def test_a_redirector_answers_and_records_what_ours_does(
    peer: Peer,
    environ: dict[str, str],
    links_file: Path,
    client: redis_py.Redis,
    tmp_path: Path,
) -> None:
    runnable(peer)
    facts = told.redirector(settings.load(environ), RING, links_file)
    compared = same.Redirectors(client, RING, PROGRAM)
    with workers(environ, 1) as (ours,), running.started(peer, facts, tmp_path) as theirs:
        assert list(compared.differences(ours.port, theirs.port, comparison.KINDS)) == []


def test_a_redirector_with_another_key_is_found_out(
    environ: dict[str, str], links_file: Path, client: redis_py.Redis, tmp_path: Path
) -> None:
    runnable(running.NODE)
    facts = told.redirector(settings.load(environ), RING, links_file) | {"key": "00" * 32}
    compared = same.Redirectors(client, RING, PROGRAM)
    with workers(environ, 1) as (ours,), running.started(running.NODE, facts, tmp_path) as theirs:
        found = next(compared.differences(ours.port, theirs.port, comparison.KINDS))
    assert "is not valid" in found


@pytest.mark.parametrize("peer", running.REDIRECTS, ids=lambda peer: peer.name)
def test_two_processes_of_a_redirector_share_a_port(
    peer: Peer, environ: dict[str, str], links_file: Path, tmp_path: Path
) -> None:
    runnable(peer)
    facts = told.redirector(settings.load(environ), RING, links_file)
    with running.started(peer, facts, tmp_path, processes=2) as subject:
        deadline = time.monotonic() + 20
        while len(subject.pids()) != 2 + peer.clusters and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(subject.pids()) == 2 + peer.clusters


@pytest.fixture
async def seeded(
    environ: dict[str, str], database: DatabaseUrls, client: redis_py.Redis
) -> tuple[Settings, Seed, str]:
    """A program with members, open award partitions, and the run id of Redis."""
    chosen = settings.load(
        environ
        | {
            "STAMPGATE_DATABASE_URL": database.app,
            "STAMPGATE_MIGRATE_URL": database.migrate,
        }
    )
    sown = await seed.sow(chosen)
    run_id = str(client.info("server")["run_id"])
    head: dict[Any, Any] = {"gen": 3, "seq": 7, "open": 1, "run": run_id}
    for number in range(keys.AWARD_PARTITIONS):
        client.hset(keys.award_head(number), mapping=head)
    return chosen, sown, run_id


@pytest.mark.parametrize("peer", running.AWARDS, ids=lambda peer: peer.name)
async def test_a_gateway_answers_and_records_what_ours_does(
    peer: Peer,
    seeded: tuple[Settings, Seed, str],
    client: redis_py.Redis,
    tmp_path: Path,
) -> None:
    runnable(peer)
    chosen, sown, run_id = seeded
    facts = told.gateway(chosen, RING, run_id)
    compared = same.Gateways(client, sown)

    def differences(ours: int) -> list[str]:
        with running.started(peer, facts, tmp_path) as theirs:
            return list(compared.differences(ours, theirs.port))

    async with gateway(chosen) as (_, url):
        assert await asyncio.to_thread(differences, int(url.rpartition(":")[2])) == []


def test_a_peer_that_is_not_there_is_missing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    (tmp_path / "package.json").write_bytes(msgspec.json.encode({"dependencies": {"bun": "1"}}))
    with pytest.raises(PeerMissing, match="npm"):
        packages.install()
    for name in ("bun", "node"):
        with pytest.raises(PeerMissing, match=name):
            packages.runtime(name)


def test_installed_means_in_the_wanted_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "FOLDER", tmp_path)
    (tmp_path / "package.json").write_bytes(msgspec.json.encode({"dependencies": {"a": "2.0.0"}}))
    assert not packages.is_installed()
    there = tmp_path / "node_modules" / "a" / "package.json"
    there.parent.mkdir(parents=True)
    there.write_bytes(msgspec.json.encode({"name": "a", "version": "1.9.9"}))
    assert not packages.is_installed()
    there.write_bytes(msgspec.json.encode({"name": "a", "version": "2.0.0"}))
    assert packages.is_installed()
