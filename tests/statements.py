"""Our SQL statements, and which role of PostgreSQL runs which."""

from __future__ import annotations

import importlib
import re

import asyncpg

from tests import sources

VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")

Place = tuple[str, str]  # module and name

OWNER = {
    "db.migrate",
    "db.quarantine",
    "db.resealing",
    "deploy.commands.awards",
    "deploy.commands.doctor",
}
FLUSH = {"db.flush", "db.ledger", "db.rebuild", "db.recovery", "workers.flush"}
# Of a module that another role's processes use too.
FLUSH_TOO = {
    "db.links": {"ALL", "COUNT"},
    "db.webhooks": {"QUEUE", "WANTED", "LISTENERS"},
}
APP_TOO = {
    "db.ledger": {"FIND", "STATEMENT", "SEQUENCE", "IMBALANCES", "SUM_OF_BALANCES"},
    "db.quarantine": {"COUNTS"},
}


def found() -> dict[Place, str]:
    """All SQL constants."""
    paths = sources.files(".py", under=("db", "workers", "gateway", "deploy"))
    names = [sources.module(path) for path in paths if not path.name.startswith("__")]
    return {
        (name, constant): value
        for name in names
        for constant, value in vars(importlib.import_module(name)).items()
        if constant.isupper() and isinstance(value, str) and VERB.match(value)
    }


def run_by(role: str, place: Place) -> bool:
    """Whether a process with this role's credentials runs the statement."""
    module, name = place
    match role:
        case "flush":
            return module in FLUSH or name in FLUSH_TOO.get(module, ())
        case "app":
            return module not in FLUSH | OWNER or name in APP_TOO.get(module, ())
        case _:
            return module in OWNER


async def refused(db: asyncpg.Connection[asyncpg.Record], sql: str) -> str:
    """Why the connection's role may not run a statement; planning it is enough to be told."""
    count = len((await db.prepare(sql)).get_parameters())
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    await db.execute(f"PREPARE looked_at AS {sql}")
    try:
        await db.execute(f"EXPLAIN EXECUTE looked_at {values}")
    except asyncpg.InsufficientPrivilegeError as error:
        return str(error)
    finally:
        await db.execute("DEALLOCATE looked_at")
    return ""
