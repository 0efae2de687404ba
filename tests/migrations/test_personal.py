"""Every table that names a member or has something sealed can be exported, erased and resealed, or
says why not. The database is asked which tables there are, so a new one cannot be forgotten."""

from __future__ import annotations

import re

import asyncpg
import pytest

from db import personal, resealing
from deploy.local.postgres import DatabaseUrls
from tests import sources

# Columns whose values are, or may be, the id of a member.
NAMING = {"member_id", "subject_id", "recipient_id", "actor"}
COLUMNS = """
SELECT c.table_name, c.column_name, c.data_type
  FROM information_schema.columns c
  JOIN information_schema.tables t USING (table_schema, table_name)
  JOIN pg_class r ON r.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
 WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND NOT r.relispartition
"""
# Bytes that are neither sealed nor a person's.
OPEN_BYTES = {
    "address_salt.salt": "a random number of a day",
    "audit_chain.digest": "a proof",
    "audit_chain.cut_digest": "a proof",
    "audit_chain.seal": "a proof",
    "audit_entry.digest": "a proof",
    "audit_entry.proof": "a proof",
    "api_key.hash": "a hash",
    "api_key.previous_hash": "a hash",
    "click.address_hash": "a hash under the salt of a day",
    "idempotency.body_hash": "a hash",
    "ledger_transaction.body_hash": "a hash",
    "quarantine.payload": "an event of points or clicks, which has ids only",
    "webhook_delivery.body": "an event as a program is told it",
    "member_contact.hash": "a keyed hash",
    "operator.email_hash": "a keyed hash",
    "session.family_hash": "a hash",
    "session.refresh_hash": "a hash",
    "invitation.hash": "a hash",
    "registration.hash": "a hash",
    "one_time_code.contact_hash": "a keyed hash",
    "one_time_code.block_hash": "a keyed hash",
    "one_time_code.source_hash": "a keyed hash",
    "one_time_code.code_hash": "a keyed hash",
    "recovery_code.code_hash": "a keyed hash",
    "mfa_challenge.token_hash": "a hash",
    "identity.subject_hash": "a keyed hash",
    "push_subscription.hash": "a keyed hash",
    "kyc.document_hash": "a keyed hash",
    "payout_method.details_hash": "a keyed hash",
    "network.token_hash": "a hash",
    "network.previous_token_hash": "a hash",
    "postback.body": "what a network says of a transaction, which names a click",
}
# Sealed columns that are not resealed, because their rows are gone within days.
SHORT_LIVED = {
    "idempotency.answer",
    "registration.contact",
    "registration.name",
    "one_time_code.contact",
    "payout_event.body",
}


@pytest.fixture
async def columns(database: DatabaseUrls) -> list[tuple[str, str, str]]:
    db = await asyncpg.connect(database.migrate)
    found = [tuple(row) for row in await db.fetch(COLUMNS)]
    await db.close()
    assert len(found) > 100
    return found


def sealed(columns: list[tuple[str, str, str]]) -> set[str]:
    """All columns of bytes that nobody has said to be open."""
    return {f"{t}.{c}" for t, c, kind in columns if kind == "bytea"} - OPEN_BYTES.keys()


def test_each_table_has_an_exporter_and_an_eraser_or_a_reason() -> None:
    for table in personal.TABLES:
        assert table.why or (table.export and table.erase), table.name


async def test_no_table_that_knows_a_member_is_forgotten(
    columns: list[tuple[str, str, str]],
) -> None:
    naming = {table for table, column, _ in columns if column in NAMING}
    wanted = {"member"} | naming | {name.partition(".")[0] for name in sealed(columns)}
    known = [table.name for table in personal.TABLES]
    assert len(known) == len(set(known))
    assert set(known) == wanted


async def test_every_sealed_column_is_resealed(columns: list[tuple[str, str, str]]) -> None:
    statements = " ".join(column.replace for column in resealing.COLUMNS)
    forgotten = {
        name
        for name in sealed(columns) - SHORT_LIVED
        if f"UPDATE {name.replace('.', ' SET ', 1)} = item.sealed" not in statements
    }
    assert forgotten == set()


async def test_the_document_names_every_sealed_column(
    columns: list[tuple[str, str, str]],
) -> None:
    document = (sources.ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    named, table = set(), ""
    for cell in re.findall(r"^\| (`\w+\..*?) \|", document, re.MULTILINE):
        for name in re.findall(r"`(\w*)\.(\w+)`", cell):
            table = name[0] or table
            named.add(f"{table}.{name[1]}")
    assert named == sealed(columns)


async def test_every_sealed_column_is_counted_before_a_key_is_retired(
    columns: list[tuple[str, str, str]],
) -> None:
    counted = resealing.USED.replace(" AS stored", "")
    for name in sealed(columns):
        table, _, column = name.partition(".")
        assert f"{column} FROM {table}" in counted, name


async def test_what_is_said_to_be_open_is_there(columns: list[tuple[str, str, str]]) -> None:
    assert OPEN_BYTES.keys() | SHORT_LIVED <= {f"{table}.{column}" for table, column, _ in columns}


async def test_an_exported_table_opens_what_is_sealed_in_it(
    columns: list[tuple[str, str, str]],
) -> None:
    for table in personal.EXPORTED:
        mine = {name for name in sealed(columns) if name.startswith(f"{table.name}.")}
        shown = {f"{table.name}.{column}" for column in table.sealed}
        assert shown <= mine
        assert shown == mine or table.why


async def test_no_exporter_shows_bytes_that_it_does_not_open(database: DatabaseUrls) -> None:
    db = await asyncpg.connect(database.migrate)
    for table in personal.EXPORTED:
        assert table.export is not None
        shown = (await db.prepare(table.export)).get_attributes()
        assert {one.name for one in shown if one.type.name == "bytea"} == set(table.sealed)
    await db.close()
