"""Every query carries the program: those that do not are named here, each with its reason."""

from __future__ import annotations

import re
from typing import Final

import asyncpg

from deploy.local.postgres import DatabaseUrls
from tests import statements

OWNED: Final = """
SELECT DISTINCT table_name FROM information_schema.columns
 WHERE table_schema = 'public' AND column_name = 'program_id'
"""
TABLE: Final = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+(?:ONLY\s+)?(\w+)")
CARRIES: Final = re.compile(
    r"program_id\s*(?:=|IS NOT DISTINCT FROM)|\(program_id|INTO \w+\s+\([^)]*\bprogram_id\b"
)

#: Work on the whole installation, which no request asks for.
OF_THE_INSTALLATION: Final = {
    *("db.audit_chain", "db.caps", "db.flush", "db.ledger", "db.rebuild", "db.reconcile"),
    *("db.plain", "db.recovery", "db.resealing", "db.respelling", "db.retention"),
}
#: A person's own things, found by the person's id, which a sign-in has proved.
OF_A_PERSON: Final = {
    *("db.codes", "db.credentials", "db.identities", "db.mfa", "db.registrations"),
    *("db.sessions", "db.signups"),
}
#: A task's steps, on the row whose id a program's own row named.
OF_A_TASK: Final = {
    *(("db.erasures", name) for name in ("ADVANCE", "FINISH", "START", "SWEEP")),
    *(("db.exports", name) for name in ("ADVANCE", "CANCEL", "EXPIRE", "FINISH", "IS_ERASED")),
    *(("db.exports", name) for name in ("OVERDUE", "START")),
}
REASONS: Final[dict[tuple[str, str], str]] = {
    ("db.api_keys", "COUNT_USE"): "the keys have proved themselves",
    ("db.api_keys", "FIND"): "tells which program a key belongs to",
    ("db.break_glass", "END"): "platform only",
    ("db.break_glass", "PAGE"): "platform only",
    ("db.deliveries", "LOAD"): "a task's, by the id that a program's own row named",
    ("db.deliveries", "RECORD"): "of a delivery that is locked",
    ("db.deliveries", "REPLAY_MANY"): "of an endpoint that was read with its program",
    ("db.fraud_sources", "CLEAR"): "of all programs, for the schedule",
    ("db.fraud_sources", "WANTED"): "of all programs, for the schedule",
    ("db.links", "ALL"): "publishes all links",
    ("db.links", "COUNT"): "counts all links",
    ("db.links", "DRAW_VERSIONS"): "of rows that are locked",
    ("db.links", "SELECT_BY_SLUG"): "a slug belongs to one link of the installation",
    ("db.links", "TAKEN_SLUGS"): "a slug belongs to one link of the installation",
    ("db.links", "UPDATE"): "of a row that is locked",
    ("db.members", "UPDATE"): "of a row that is locked",
    ("db.money", "IMBALANCES"): "checks the whole installation",
    ("db.money", "SUM_OF_BALANCES"): "checks the whole installation",
    ("db.notifications", "BEGIN"): "a task's, by the id that a program's own row named",
    ("db.notifications", "LOAD"): "a task's, by the id that a program's own row named",
    ("db.notifications", "RECORD"): "of a row that is under way",
    ("db.operators", "FIND"): "a mail address belongs to one operator of the installation",
    ("db.operators", "IS_TAKEN"): "a mail address belongs to one operator of the installation",
    ("db.payouts", "ADD"): "a provider's call, before it is known whose it is",
    ("db.payouts", "RESUME"): "of all programs, for the schedule",
    ("db.reclassifications", "LOAD"): "a task's, by the id that a program's own row named",
    ("db.reports", "FIND"): "a provider's report, which names no program",
    ("db.reports", "HOLDERS"): "a number writes to the installation",
    ("db.reports", "LOCK"): "a provider's report, which names no program",
    ("db.reports", "MOVE"): "a provider's report, which names no program",
    ("db.stats", "SETTLED"): "of a link that was read with its program",
    ("db.conversions", "TO_TELL"): "a task's, by the id that a program's own row named",
    ("db.referrals", "TO_TELL"): "a task's, by the id that a program's own row named",
    ("db.conversions", "WAITING"): "looks which programs have something to try",
    ("db.networks", "DUE"): "looks for the networks of all programs",
    ("db.networks", "PROGRAM_OF"): "tells which program a network's call or task belongs to",
    ("db.postbacks", "WAITING"): "looks which programs have calls to read",
    ("db.withdrawals", "PROGRAM_OF"): "a task's and a provider's, by the id that they were given",
    ("db.webhooks", "DISABLE"): "of a delivery that is locked",
    ("db.webhooks", "UPDATE"): "of a row that is locked",
    ("db.webhooks", "WANTED"): "of all programs, for the flusher",
}


def is_excused(module: str, name: str) -> bool:
    return (
        module in OF_THE_INSTALLATION | OF_A_PERSON
        or name == "DELETE_OLD"
        or (module, name) in OF_A_TASK | REASONS.keys()
    )


async def loose(url: str) -> set[statements.Place]:
    """The statements on rows of programs that do not carry the program."""
    db = await asyncpg.connect(url)
    owned = {row["table_name"] for row in await db.fetch(OWNED)}
    await db.close()
    assert {"member", "link", "api_key", "session"} <= owned
    return {
        place
        for place, sql in statements.found().items()
        if owned & set(TABLE.findall(sql)) and not CARRIES.search(sql)
    }


async def test_every_statement_on_a_programs_rows_carries_the_program(
    database: DatabaseUrls,
) -> None:
    found = await loose(database.migrate)
    assert sorted(place for place in found if not is_excused(*place)) == []


async def test_every_excuse_is_needed(database: DatabaseUrls) -> None:
    assert sorted(set(REASONS) - await loose(database.migrate)) == []
