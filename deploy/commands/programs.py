"""`stampgate program create` and `stampgate import`."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec

from core import errors, ids, programs, tokens
from core.http import HttpRequest, HttpResponse, OutboundError
from core.settings import Settings
from db import programs as stored
from deploy.commands import recording
from deploy.commands.arguments import Commands, Progress
from web.outbound import Outbound

LINKS_A_REQUEST = 10_000
MEMBERS_A_REQUEST = 1_000
MEMBER_COLUMNS = {"external_id", "name"}
WHOLE = ("merchants", "offers")


def add_program(commands: Commands) -> None:
    """Declare `program create`."""
    program = commands.add_parser("program", help="the tenants of this installation")
    create = program.add_subparsers(dest="program", required=True, metavar="ACTION").add_parser(
        "create", help="make a program and print its id"
    )
    create.add_argument("name")
    create.add_argument("--currency", required=True, help="ISO 4217, such as EUR")
    create.add_argument("--time-zone", default="UTC", help="whose day its limits count")
    create.set_defaults(run=create_program)


def add_import(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "import", help="rows of a CSV file with a header row, through the API"
    )
    command.add_argument("what", choices=["links", "members", *WHOLE])
    command.add_argument("file", type=Path)
    command.add_argument("--program", required=True, metavar="PRG")
    command.add_argument("--url", help="the gateway (default: the one of the settings)")
    command.set_defaults(run=import_file)


async def create_program(settings: Settings, arguments: argparse.Namespace) -> int:
    """Store a program with the default rules."""
    try:
        programs.zone(arguments.time_zone)
    except (ValueError, OSError, KeyError) as error:
        raise errors.InvalidRequest(f"there is no time zone {arguments.time_zone!r}") from error
    now_ms = time.time_ns() // 1_000_000
    program_id = ids.new("program", now_ms, os.urandom(ids.ENTROPY_BYTES))
    ring = recording.read_ring(settings)
    new = {name: getattr(arguments, name) for name in ("name", "currency", "time_zone")}
    db = await asyncpg.connect(settings.database_url)
    try:
        async with db.transaction():
            await stored.add(db, program_id, settings=programs.ProgramSettings(), **new)
            await recording.record(
                db, ring, "program.create", program_id, program_id=program_id, after=new
            )
    finally:
        await db.close()
    print(program_id)
    return 0


async def import_file(settings: Settings, arguments: argparse.Namespace) -> int:
    """Send the file in portions. Each has a key of its own, so that a second run repeats none."""
    portions = _portions(arguments.what, arguments.file)
    action = f"{arguments.what.removesuffix('s')}.import"
    rows = {"rows": sum(count for count, _, _ in portions)}
    written = recording.recorded(
        settings, action, arguments.program, program_id=arguments.program, after=rows
    )
    # What becomes of each row is written by the gateway.
    if arguments.what in WHOLE:
        async with written:
            await _send(settings, arguments, portions)
    else:
        async with written:
            pass
        await _send(settings, arguments, portions)
    return 0


async def _send(
    settings: Settings, arguments: argparse.Namespace, portions: Sequence[Portion]
) -> None:
    base = arguments.url or f"http://{settings.gateway_host}:{settings.gateway_port}"
    total, done = sum(count for count, _, _ in portions), 0
    progress = Progress(arguments.what)
    outbound = Outbound(allow=urlsplit(base).hostname or "")
    try:
        for count, media_type, body in portions:
            answer = await outbound.send(
                HttpRequest(
                    method="POST",
                    url=f"{base}/v1/{arguments.what}/{'import' if 'csv' in media_type else 'bulk'}",
                    purpose="import",
                    headers={
                        "Authorization": f"Bearer {_token(settings, arguments.program)}",
                        "Content-Type": media_type,
                        "Idempotency-Key": "import-" + hashlib.sha256(body).hexdigest(),
                    },
                    body=body,
                    timeout_s=120.0,
                )
            )
            _check(answer, done)
            done += count
            progress(done, total)
    except OutboundError as error:
        raise errors.Unavailable(f"the gateway at {base} did not answer: {error}") from error
    finally:
        await outbound.close()


def _portions(what: str, file: Path) -> list[Portion]:
    try:
        return list(_PORTIONS[what](file.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        line = file.read_bytes().count(b"\n", 0, error.start) + 1
        raise errors.InvalidRequest(f"line {line} is not UTF-8") from None
    except csv.Error as error:
        raise errors.InvalidRequest(f"the file is no table: {error}") from None


def _check(answer: HttpResponse, done: int) -> None:
    if answer.status >= 400:
        problem = msgspec.json.decode(answer.body)
        raise errors.InvalidRequest(
            f"{problem.get('detail')} (rows up to {done:,} are stored)",
            errors=problem.get("errors"),
        )
    refused = [
        {"row": str(done + number), "detail": item["error"]["detail"]}
        for number, item in enumerate(msgspec.json.decode(answer.body).get("data") or [], 1)
        if item["status"] >= 400
    ]
    if refused:
        raise errors.InvalidRequest("rows were refused; the others are stored", errors=refused[:50])


Portion = tuple[int, str, bytes]


def _whole(text: str) -> Iterator[Portion]:
    """All of it at once, to be stored whole or not at all."""
    yield (
        max(sum(1 for row in csv.reader(io.StringIO(text)) if row) - 1, 0),
        "text/csv",
        text.encode(),
    )


def _links(text: str) -> Iterator[Portion]:
    rows = list(csv.reader(io.StringIO(text)))
    for start in range(1, len(rows), LINKS_A_REQUEST):
        portion = io.StringIO()
        chosen = rows[start : start + LINKS_A_REQUEST]
        csv.writer(portion).writerows([rows[0], *chosen])
        yield len(chosen), "text/csv", portion.getvalue().encode()


def _members(text: str) -> Iterator[Portion]:
    reader = csv.DictReader(io.StringIO(text))
    names = set(reader.fieldnames or ())
    if "external_id" not in names or not names <= MEMBER_COLUMNS:
        raise errors.InvalidRequest("the columns of members are external_id and name")
    items = [{name: value for name, value in row.items() if value} for row in reader]
    for start in range(0, len(items), MEMBERS_A_REQUEST):
        chosen = items[start : start + MEMBERS_A_REQUEST]
        yield len(chosen), "application/json", msgspec.json.encode({"items": chosen})


_PORTIONS: dict[str, Callable[[str], Iterator[Portion]]] = {
    "links": _links,
    "members": _members,
    **dict.fromkeys(WHOLE, _whole),
}


def _token(settings: Settings, program_id: str) -> str:
    now_ms = time.time_ns() // 1_000_000
    return tokens.issue(
        recording.read_ring(settings),
        program_id=program_id,
        subject="app:import",
        scopes=["links:write", "members:write", "offers:write", "programs:write"],
        now_s=now_ms // 1000,
        ttl_s=600,
        rate_per_minute=0,
        token_id=ids.new("token", now_ms, os.urandom(ids.ENTROPY_BYTES)),
    )
