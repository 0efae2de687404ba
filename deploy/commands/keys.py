"""`stampgate token` and `stampgate keys`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import asyncpg

from core import errors, ids, keyring, tokens
from core.settings import Settings
from db import audit, audit_chain, resealing, respelling, revocations
from db.pg import Db
from deploy.commands import recording
from deploy.commands.arguments import Commands, Progress, duration_s
from deploy.local import files


def add_token(commands: Commands) -> None:
    """Declare `token create|revoke`."""
    token = commands.add_parser("token", help="bearer tokens for apps and operators")
    actions = token.add_subparsers(dest="token", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="sign a token and print it")
    create.add_argument("--program", metavar="PRG", help="the program; none for platform staff")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        metavar="SCOPE",
        help="may be repeated, or several with spaces: " + " ".join(tokens.SCOPES),
    )
    create.add_argument("--ttl", type=duration_s, default=3600, help="lifetime (default 1h)")
    create.add_argument("--subject", default="app:cli", help="who it is for (default app:cli)")
    create.add_argument(
        "--rate",
        type=int,
        metavar="N",
        help="requests a minute, 0 for no limit (default: the server's)",
    )
    create.set_defaults(run=create_token)
    revoke = actions.add_parser("revoke", help="void a token in all processes, within seconds")
    revoke.add_argument(
        "which", help="its id, as the audit log names it; - reads the token itself from stdin"
    )
    revoke.set_defaults(run=revoke_token)


def add_keys(commands: Commands) -> None:
    """Declare `keys init|list|rotate|reseal|retire`."""
    keys = commands.add_parser("keys", help="the key ring: click, token and field keys")
    actions = keys.add_subparsers(dest="keys", required=True, metavar="ACTION")
    actions.add_parser("init", help="make the key ring file").set_defaults(run=init)
    actions.add_parser("list", help="name the keys").set_defaults(run=list_all)
    rotate_parser = actions.add_parser("rotate", help="add a new active key; old ones stay valid")
    retire_parser = actions.add_parser("retire", help="forget a key; what it proved is void")
    for action, run in ((rotate_parser, rotate), (retire_parser, retire)):
        action.add_argument("kind", choices=["click", "token", "field"])
        action.set_defaults(run=run)
    reseal_parser = actions.add_parser(
        "reseal", help="bring all sealed fields under the active field key; may be cut short"
    )
    reseal_parser.set_defaults(run=reseal)
    retire_parser.add_argument("key", help="its id, as `keys list` shows it")


async def create_token(settings: Settings, arguments: argparse.Namespace) -> int:
    """Sign a token with the active key and print it."""
    now_ms, program_id = _now_ms(), arguments.program
    if program_id is not None and not ids.is_id(program_id, "program"):
        raise errors.ProgramNotFound(f"{program_id!r} is not the id of a program (prg_…)")
    scopes = " ".join(arguments.scope).replace(",", " ").split()
    token_id = ids.new("token", now_ms, os.urandom(ids.ENTROPY_BYTES))
    token = tokens.issue(
        _read(settings),
        program_id=program_id,
        subject=arguments.subject,
        scopes=scopes,
        now_s=now_ms // 1000,
        ttl_s=arguments.ttl,
        token_id=token_id,
        rate_per_minute=arguments.rate,
    )
    after = {"subject": arguments.subject, "scopes": scopes, "ttl_s": arguments.ttl}
    async with recording.recorded(
        settings, "token.create", token_id, program_id=program_id, after=after
    ):
        print(token)
    return 0


async def revoke_token(settings: Settings, arguments: argparse.Namespace) -> int:
    """Void a token that got into the wrong hands, for as long as it would have been good."""
    ring, db = _read(settings), await asyncpg.connect(settings.database_url)
    try:
        if arguments.which == "-":
            said = tokens.verify(ring, sys.stdin.readline().strip(), _now_ms() // 1000)
            token_id, program_id, until_s = said.token_id, said.program_id, said.expires_s
        else:
            token_id = arguments.which
            program_id, until_s = await _signed(db, token_id)
        async with db.transaction():
            await revocations.add(db, [token_id], until_s + 2 * tokens.LEEWAY_S)
            await recording.record(db, ring, "token.revoke", token_id, program_id=program_id)
    finally:
        await db.close()
    print(f"{token_id} is void")
    return 0


async def _signed(db: Db, token_id: str) -> tuple[str | None, int]:
    """For which program a token was signed, and until when it is good, by the audit log."""
    found = await audit.page_of_all(
        db, None, before="", limit=1, object_id=token_id, action="token.create"
    )
    if not found or found[0].after is None:
        raise errors.TokenInvalid(f"the audit log knows no token {token_id}: give the token itself")
    return found[0].program_id, int(found[0].at.timestamp()) + int(found[0].after["ttl_s"])


async def init(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Make the file, unless it is there."""
    path = Path(settings.keyring_file)
    if path.exists():
        raise errors.BadKeyRing(f"{path} exists already: rotate its keys instead")
    path.parent.mkdir(parents=True, exist_ok=True)
    ring = keyring.generate(_now_ms(), os.urandom(keyring.RING_ENTROPY_BYTES))
    files.write_private(path, keyring.dump(ring))
    print(f"made {path}; keep a copy in a safe place")
    return 0


async def list_all(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Name the keys of each kind and mark the active one."""
    ring = _read(settings)
    for kind in ("click", "token", "field"):
        active = getattr(ring, f"active_{kind}")
        for key in getattr(ring, kind):
            print(f"{kind:5}  {key}{'  (active)' if key == active else ''}")
    return 0


async def rotate(settings: Settings, arguments: argparse.Namespace) -> int:
    """Add a key and make it the active one."""
    ring = keyring.rotate(_read(settings), arguments.kind, _now_ms(), os.urandom(keyring.KEY_BYTES))
    active = str(getattr(ring, f"active_{arguments.kind}"))
    async with recording.recorded(settings, "key.rotate", active, after={"kind": arguments.kind}):
        files.write_private(Path(settings.keyring_file), keyring.dump(ring))
    print(f"{arguments.kind} key {active} is active;")
    if arguments.kind == "token":
        print("gateways read it by themselves; copy the file to all hosts")
    else:
        print("send SIGHUP to gateway, redirector and workers, so that they read it")
    if arguments.kind == "field":
        print("then the workers reseal what is stored; `stampgate keys reseal` does so at once")
    return 0


async def reseal(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Seal what is plain, seal anew what is under an older key, spell anew what was spelled
    otherwise.
    """
    ring = _read(settings)
    db = await asyncpg.connect(settings.migration_url)
    try:
        total, progress = await resealing.stale(db, ring), Progress("fields")
        # What changes meanwhile is under the active key already, so the end may come early.
        done = await resealing.run(db, ring, lambda done: progress(done, max(total, done + 1)))
        progress(done, done)
        left = await resealing.stale(db, ring)
        spelled = await respelling.run(db, ring)
        async with db.transaction():
            sealed = {
                "fields": done,
                "respelled": spelled.respelled,
                "left_to_others": len(spelled.taken),
            }
            await recording.record(db, ring, "key.reseal", ring.active_field, after=sealed)
    finally:
        await db.close()
    print(f"{done:,} fields sealed with {ring.active_field}, {left:,} left")
    if spelled.respelled:
        print(f"{spelled.respelled:,} mail addresses brought to their present spelling")
    for one in spelled.taken:
        print(f"{one} keeps a mail address that in its present spelling is somebody else's")
    return 1 if left else 0


async def retire(settings: Settings, arguments: argparse.Namespace) -> int:
    """Forget a key that is not active, and that no sealed field needs."""
    ring = keyring.retire(_read(settings), arguments.kind, arguments.key)
    if arguments.kind == "field":
        await _check_unused(settings, arguments.key)
    kind = {"kind": arguments.kind}
    async with recording.recorded(settings, "key.retire", arguments.key, after=kind):
        files.write_private(Path(settings.keyring_file), keyring.dump(ring))
    print(f"{arguments.kind} key {arguments.key} is retired")
    return 0


async def _check_unused(settings: Settings, key: str) -> None:
    """BadKeyRing while something is sealed with the key: it could never be opened again."""
    db = await asyncpg.connect(settings.migration_url)
    try:
        uses = [use for use in await resealing.used(db) if use.key == key]
        seals_audit_log = await audit_chain.uses(db, key)
    finally:
        await db.close()
    if uses:
        places = ", ".join(f"{use.how_many:,} of {use.place}" for use in uses)
        raise errors.BadKeyRing(
            f"field key {key} is still needed by {places}: run `stampgate keys reseal`, or wait"
            " for `python -m workers` (answers to repeated requests go by themselves within a day)"
        )
    if seals_audit_log:
        raise errors.BadKeyRing(
            f"field key {key} still seals the audit log; `python -m workers` changes that soon"
        )


def _read(settings: Settings) -> keyring.KeyRing:
    return recording.read_ring(settings)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
