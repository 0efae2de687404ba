"""`stampgate keys` on a real database: rotate, reseal, retire."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from core import keyring
from core.errors import BadKeyRing
from core.programs import ProgramSettings
from core.settings import Settings
from db import audit_chain, members, programs
from db.members import NewMember
from deploy import cli
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING

PROGRAM, MEMBER = "prg_1", "mem_1"


@pytest.fixture
def settings(tmp_path: Path, database: DatabaseUrls, redis_url: str) -> Settings:
    path = tmp_path / "keyring.json"
    path.write_bytes(keyring.dump(RING))
    return Settings(
        database_url=database.app,
        migrate_url=database.migrate,
        redis_url=redis_url,
        queue_url=redis_url,
        keyring_file=str(path),
    )


@pytest.fixture
async def member(database: DatabaseUrls) -> None:
    db = await asyncpg.connect(database.app)
    await programs.add(
        db, PROGRAM, name="Tea", currency="INR", time_zone="UTC", settings=ProgramSettings()
    )
    await members.add(db, RING, PROGRAM, MEMBER, NewMember(name="Asha"))
    await db.close()


async def run(settings: Settings, *arguments: str) -> int:
    chosen = cli.parser().parse_args(["keys", *arguments])
    code: int = await chosen.run(settings, chosen)
    return code


def ring(settings: Settings) -> keyring.KeyRing:
    return keyring.parse(Path(settings.keyring_file).read_bytes())


async def test_a_field_key_is_retired_once_nothing_needs_it(
    settings: Settings, member: None, database: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    old = RING.active_field
    assert await run(settings, "rotate", "field") == 0
    with pytest.raises(BadKeyRing, match=r"1 of member\.profile"):
        await run(settings, "retire", "field", old)
    assert old in ring(settings).field
    assert await run(settings, "reseal") == 0
    assert "1 fields sealed" in capsys.readouterr().out
    assert await run(settings, "reseal") == 0
    db = await asyncpg.connect(database.migrate)
    async with db.transaction():
        await audit_chain.seal(db, ring(settings))
    await db.close()
    assert await run(settings, "retire", "field", old) == 0
    assert old not in ring(settings).field
    db = await asyncpg.connect(database.app)
    assert (await members.get(db, ring(settings), PROGRAM, MEMBER)).name == "Asha"
    await db.close()
