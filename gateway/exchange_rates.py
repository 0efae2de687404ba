"""`/v1/exchange-rates`: what commissions in other currencies are worth to the program."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, rates
from core.money import Currency
from core.rates import Rate
from db import exchange_rates
from db.pg import Db
from gateway import answers, auditing
from gateway.app import Call, read, read_as
from web import problem
from web.routing import Route

ROWS_MAX: Final = 10_000
BODY_LIMIT: Final = 2 << 20
PROBLEMS_MAX: Final = 100
COLUMNS: Final = ["source", "target", "valid_from", "rate"]

Moment = Annotated[dt.datetime, Meta(tz=True)]


class NewRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit of `source` is `rate` units of `target` from `valid_from` on."""

    source: Currency
    target: Currency
    valid_from: Moment
    rate: Annotated[str, Meta(max_length=24)]


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rates are asked for."""

    source: Currency | None = None
    target: Currency | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Rates(msgspec.Struct, frozen=True):
    """Rates, the newest of each pair first."""

    data: list[NewRate]


class Imported(msgspec.Struct, frozen=True):
    """How many rates were stored."""

    imported: int


_new = msgspec.json.Decoder(NewRate)


async def put(call: Call) -> web.Response:
    """Store a rate, in place of the one of that moment."""
    new = await read_as(call, _new)
    rate = _checked(new)
    async with call.app.transaction() as db:
        await exchange_rates.put(db, call.principal.program_id, [rate])
        await auditing.record(call, db, "exchange_rate.set", "", after=new)
    return problem.reply(_shown(rate))


async def list_all(call: Call) -> web.Response:
    """The program's rates."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await exchange_rates.page(
            db,
            call.principal.program_id,
            source=search.source,
            target=search.target,
            limit=search.limit,
        )
    return problem.reply(Rates([_shown(rate) for rate in found]))


async def import_csv(call: Call) -> web.Response:
    """Store the rates of a CSV file; a bad row refuses the whole file."""
    body = await read(call)
    found = parse(body)

    async def work(db: Db) -> Imported:
        await exchange_rates.put(db, call.principal.program_id, found)
        await auditing.record(call, db, "exchange_rate.import", "", after={"count": len(found)})
        return Imported(len(found))

    return await answers.once(call, body, work)


def parse(body: bytes) -> list[Rate]:
    """The file's rates; InvalidRequest names the lines that are wrong."""
    problems: list[dict[str, str]] = []
    lines: dict[tuple[object, ...], int] = {}
    found: list[Rate] = []
    for line, cells in _table(body):
        try:
            rate = _checked(msgspec.convert(cells, NewRate, strict=False))
            _check_new(lines.setdefault(rate[:3], line), line)
        except (errors.InvalidRequest, msgspec.ValidationError) as error:
            detail = error.detail if isinstance(error, errors.InvalidRequest) else str(error)
            problems.append({"detail": detail, "line": str(line)})
        else:
            found.append(rate)
        if len(found) + len(problems) > ROWS_MAX:
            raise errors.InvalidRequest(f"The file has more than {ROWS_MAX} rows.")
    if problems:
        raise errors.InvalidRequest("Rows are wrong.", errors=problems[:PROBLEMS_MAX])
    if not found:
        raise errors.InvalidRequest("The file has no rows.")
    return found


def _table(body: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _bad(line, "It is not UTF-8.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if sorted(header) != sorted(COLUMNS):
            raise _bad(1, f"The columns are {', '.join(COLUMNS)}.")
        for row in reader:
            if len(row) not in (0, len(header)):
                raise _bad(reader.line_num, "It has not as many cells as the header.")
            if row:
                cells = map(str.strip, row)
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise _bad(reader.line_num, f"{error}.") from None


def _check_new(first: int, line: int) -> None:
    if first != line:
        raise errors.InvalidRequest(f"It stands in line {first} already.")


def _bad(line: int, detail: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"Line {line}: {detail}", errors=[{"detail": detail, "line": str(line)}]
    )


def _checked(new: NewRate) -> Rate:
    if new.source == new.target:
        raise errors.InvalidRequest("A rate is between two currencies.")
    try:
        rate = rates.parse(new.rate)
    except rates.BadRate as error:
        raise errors.InvalidRequest(f"rate: {error}.") from None
    return Rate(new.source, new.target, new.valid_from.astimezone(dt.UTC), rate)


def _shown(rate: Rate) -> NewRate:
    return NewRate(
        source=rate.source, target=rate.target, valid_from=rate.valid_from, rate=f"{rate.rate:f}"
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="PUT",
        path="/v1/exchange-rates",
        handler=put,
        name="set_exchange_rate",
        summary="Set what a currency is worth from a moment on",
        scope="programs:write",
        body=NewRate,
        reply=NewRate,
        errors=(errors.ProgramNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/exchange-rates",
        handler=list_all,
        name="list_exchange_rates",
        summary="List exchange rates, the newest of each pair first",
        scope="programs:read",
        query=Search,
        reply=Rates,
    ),
    Route(
        method="POST",
        path="/v1/exchange-rates/import",
        handler=import_csv,
        name="import_exchange_rates",
        summary="Store the exchange rates of a CSV file, all or none",
        scope="programs:write",
        body=str,
        body_type="text/csv",
        reply=Imported,
        status=201,
        errors=(errors.ProgramNotFound,),
        body_limit=BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
)
