"""`/v1/admin/fraud/lists`: networks and mail domains that a program's fraud rules look up."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, fraud_lists
from core.fraud_lists import Entry, Kind, ListName
from db import fraud_lists as stored
from db.fraud_lists import FraudList
from db.pg import Db
from gateway import answers, auditing
from gateway.app import Call, read, read_as
from gateway.lookups import moment
from web import problem
from web.routing import Route

#: What is sent as JSON; a file may have more.
SENT_MAX: Final = 5_000
BODY_LIMIT: Final = 8 << 20
PROBLEMS_MAX: Final = 100
COLUMNS: Final = ["value", "label"]


class NewFraudList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in a list from now on. A network smaller than a /24 or /48 stands for all of
    that, since clicks know no more; a domain stands for those below it, too."""

    kind: Kind
    entries: Annotated[list[Entry], Meta(min_length=1, max_length=SENT_MAX)]


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file is about."""

    kind: Kind


class FraudLists(msgspec.Struct, frozen=True):
    """All lists of the program, by their names."""

    data: list[FraudList]


_new = msgspec.json.Decoder(NewFraudList)


async def put(call: Call) -> web.Response:
    """Replace a list, or begin it; a bad entry refuses it whole."""
    new = await read_as(call, _new)
    name = _name(call)
    pointers = [f"/entries/{number}" for number in range(len(new.entries))]
    entries = _read(new.kind, zip(pointers, new.entries, strict=True), "pointer")
    async with call.app.transaction() as db:
        shown = await _put(call, db, name, new.kind, entries)
    return problem.reply(shown)


async def import_csv(call: Call) -> web.Response:
    """Replace a list by a CSV file, or begin it; a bad line refuses it whole."""
    body = await read(call)
    kind, name = problem.decode_query(File, call.query).kind, _name(call)
    entries = _read(kind, _table(body), "line")

    async def work(db: Db) -> FraudList:
        return await _put(call, db, name, kind, entries)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """All lists."""
    async with call.app.connection() as db:
        return problem.reply(FraudLists(await stored.find(db, call.principal.program_id)))


async def delete(call: Call) -> web.Response:
    """Forget a list; clicks keep what was found in it."""
    program_id, name = call.principal.program_id, _name(call)
    async with call.app.transaction() as db:
        found = await stored.find(db, program_id, name)
        await stored.delete(db, program_id, name)
        await auditing.record(call, db, "fraud_list.delete", name, before=found[0])
    return web.Response(status=204)


async def _put(call: Call, db: Db, name: str, kind: Kind, entries: list[Entry]) -> FraudList:
    program_id = call.principal.program_id
    before = await stored.find(db, program_id, name)
    at = moment(call.app.now_ms())
    after = await stored.put(db, program_id, name, kind, entries, call.principal.subject, at)
    await auditing.record(call, db, "fraud_list.put", name, before[0] if before else None, after)
    return after


def _read(kind: Kind, said: Iterable[tuple[str, Entry]], place: str) -> list[Entry]:
    """Each network or domain once; InvalidRequest names the places that are wrong."""
    problems: list[dict[str, str]] = []
    found: dict[str, Entry] = {}
    for where, entry in said:
        try:
            one = fraud_lists.read(kind, entry)
        except fraud_lists.BadEntry as error:
            problems.append({"detail": str(error), place: where})
        else:
            found.setdefault(one.value, one)
        if len(found) + len(problems) > fraud_lists.ENTRIES_MAX:
            raise errors.InvalidRequest(f"More than {fraud_lists.ENTRIES_MAX} entries.")
    if problems:
        raise errors.InvalidRequest("Entries are wrong.", errors=problems[:PROBLEMS_MAX])
    if not found:
        raise errors.InvalidRequest("The file has no entries.")
    return list(found.values())


def _table(body: bytes) -> Iterator[tuple[str, Entry]]:
    """The lines of a file and their numbers; InvalidRequest for what is no such file."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(body.count(b"\n", 0, error.start) + 1, "It is not UTF-8.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if header not in (COLUMNS, COLUMNS[:1]):
            raise _bad(1, f"The columns are {' and '.join(COLUMNS)}, or value alone.")
        for row in reader:
            if len(row) not in (0, len(header)):
                raise _bad(reader.line_num, "It has not as many cells as the header.")
            if row:
                yield str(reader.line_num), _entry(reader.line_num, row)
    except csv.Error as error:
        raise _bad(reader.line_num, f"{error}.") from None


def _entry(line: int, row: list[str]) -> Entry:
    try:
        return msgspec.convert(dict(zip(COLUMNS, map(str.strip, row), strict=False)), Entry)
    except msgspec.ValidationError as error:
        raise _bad(line, str(error)) from None


def _bad(line: int, detail: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"Line {line}: {detail}", errors=[{"detail": detail, "line": str(line)}]
    )


def _name(call: Call) -> str:
    try:
        name = msgspec.convert(call.params["name"], ListName)
    except msgspec.ValidationError:
        raise errors.InvalidRequest(
            "A list's name has up to 40 small letters, digits, - and _."
        ) from None
    if name == fraud_lists.BUILT_IN:
        raise errors.InvalidRequest("This list cannot be changed.")
    return name


PATH: Final = "/v1/admin/fraud/lists/{name}"

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/admin/fraud/lists",
        handler=list_all,
        name="list_fraud_lists",
        summary="List the program's lists of networks and mail domains",
        scope="conversions:read",
        reply=FraudLists,
    ),
    Route(
        method="PUT",
        path=PATH,
        handler=put,
        name="put_fraud_list",
        summary="Replace a list of networks or mail domains, or begin it",
        scope="conversions:write",
        body=NewFraudList,
        reply=FraudList,
        errors=(errors.ProgramNotFound, errors.Conflict),
    ),
    Route(
        method="POST",
        path=f"{PATH}/import",
        handler=import_csv,
        name="import_fraud_list",
        summary="Replace a list by a CSV file, all or none",
        scope="conversions:write",
        query=File,
        body=str,
        body_type="text/csv",
        reply=FraudList,
        status=201,
        errors=(errors.ProgramNotFound, errors.Conflict),
        body_limit=BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="DELETE",
        path=PATH,
        handler=delete,
        name="delete_fraud_list",
        summary="Forget a list; clicks keep what was found in it",
        scope="conversions:write",
        status=204,
        errors=(errors.FraudListNotFound, errors.InvalidRequest),
    ),
)
