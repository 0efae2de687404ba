"""What is stored of members: each table that names one or has something sealed, how it is exported,
and what becomes of it when the member is erased. A test compares this with the database.

Statements take the program and the member. An exported row shows itself under its columns' names;
those in `sealed` are opened, for the context of the column named there and `sealed_for`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from core.keyring import KeyRing
from db import members, sealing
from db.pg import Db

ROWS_A_TURN: Final = 500
# Columns that hold JSON as text.
JSON: Final = (
    *("profile", "attributes", "parameters", "before", "after", "document", "details"),
    *("destination", "content", "variables"),
)
# A member may have followed a million links.
TIMEOUT_S: Final = 3_000

EXPORT_MEMBER: Final = """
SELECT id, external_id, name, attributes, profile, id AS sealed_for, created_at, updated_at,
       banned_at, deleted_at
  FROM member WHERE program_id = $1 AND id = $2
"""
# Its row stays, because the ledger goes on naming it: what it then names is nobody.
ERASE_MEMBER: Final = """
UPDATE member
   SET external_id = NULL, name = NULL, attributes = '{}', profile = NULL, updated_at = now(),
       deleted_at = coalesce(deleted_at, now()), erased_at = coalesce(erased_at, now())
 WHERE program_id = $1 AND id = $2
"""
EXPORT_CONSENTS: Final = """
SELECT id, purpose, is_given, wording, recorded_by, recorded_at FROM consent
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_CONSENTS: Final = "DELETE FROM consent WHERE program_id = $1 AND member_id = $2"
EXPORT_ACCOUNTS: Final = """
SELECT role, unit, balance FROM account
 WHERE program_id = $1 AND member_id = $2 ORDER BY role, unit
"""
EXPORT_TRANSACTIONS: Final = """
SELECT type, unit, amount, balance, reason, reference, occurred_at, recorded_at, expires_at
  FROM ledger_transaction
 WHERE program_id = $1 AND member_id = $2 ORDER BY generation, sequence
"""
EXPORT_MONEY_ACCOUNTS: Final = """
SELECT role, currency, balance_minor FROM money_account
 WHERE program_id = $1 AND member_id = $2 ORDER BY currency, role
"""
EXPORT_MONEY: Final = """
SELECT t.type, t.subject, t.reason, t.recorded_at, a.role, a.currency, e.amount_minor,
       e.balance_minor
  FROM money_account a
  JOIN money_entry e ON e.account_id = a.id
  JOIN money_transaction t ON t.id = e.transaction_id
 WHERE a.program_id = $1 AND a.member_id = $2 ORDER BY t.id, e.ordinal
"""
EXPORT_HOLDS: Final = """
SELECT id, unit, amount, captured, state, expires_at, updated_at FROM hold
 WHERE program_id = $1 AND member_id = $2 ORDER BY generation, sequence
"""
EXPORT_CLICKS: Final = """
SELECT click_id, link_id, clicked_at, country, device, system, browser, user_agent, referrer,
       parameters, networks
  FROM click WHERE program_id = $1 AND member_id = $2 ORDER BY click_id
"""
# The click goes on counting for its link; whose it was is forgotten.
ERASE_CLICKS: Final = """
UPDATE click
   SET member_id = NULL, address_hash = NULL, user_agent = NULL, referrer = NULL, parameters = NULL,
       networks = NULL
 WHERE program_id = $1 AND member_id = $2
"""
EXPORT_NOTIFICATIONS: Final = """
SELECT id, channel, address, id AS sealed_for, template, language, state, delivery, reported_at,
       created_at
  FROM notification
 WHERE program_id = $1 AND recipient_kind = 'member' AND recipient_id = $2 ORDER BY id
"""
ERASE_NOTIFICATIONS: Final = """
DELETE FROM notification
 WHERE program_id = $1 AND recipient_kind = 'member' AND recipient_id = $2
"""
EXPORT_NOTICES: Final = """
SELECT id, id AS sealed_for, template, language, variables, state, tried, created_at FROM notice
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_NOTICES: Final = "DELETE FROM notice WHERE program_id = $1 AND member_id = $2"
EXPORT_PREFERENCES: Final = """
SELECT topic, channel, is_wanted, said_by, updated_at FROM notification_preference
 WHERE program_id = $1 AND member_id = $2 ORDER BY topic, channel
"""
ERASE_PREFERENCES: Final = """
DELETE FROM notification_preference WHERE program_id = $1 AND member_id = $2
"""
EXPORT_PUSH_SUBSCRIPTIONS: Final = """
SELECT id, id AS sealed_for, kind, address, created_at FROM push_subscription
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_PUSH_SUBSCRIPTIONS: Final = """
DELETE FROM push_subscription WHERE program_id = $1 AND member_id = $2
"""
EXPORT_QUIET_HOURS: Final = """
SELECT begins_minute, ends_minute, updated_at FROM quiet_hours
 WHERE program_id = $1 AND member_id = $2
"""
ERASE_QUIET_HOURS: Final = "DELETE FROM quiet_hours WHERE program_id = $1 AND member_id = $2"
EXPORT_CONTACTS: Final = """
SELECT channel, sealed, member_id AS sealed_for, verified_at, unreachable_at, created_at
  FROM member_contact
 WHERE program_id = $1 AND member_id = $2 ORDER BY channel
"""
ERASE_CONTACTS: Final = "DELETE FROM member_contact WHERE program_id = $1 AND member_id = $2"
EXPORT_CREDENTIALS: Final = """
SELECT changed_at FROM credential WHERE program_id = $1 AND subject_id = $2
"""
ERASE_CREDENTIALS: Final = "DELETE FROM credential WHERE program_id = $1 AND subject_id = $2"
EXPORT_SESSIONS: Final = """
SELECT id, user_agent, address, created_at, last_used_at, expires_at, revoked_at FROM session
 WHERE program_id = $1 AND subject_id = $2 ORDER BY id
"""
ERASE_SESSIONS: Final = "DELETE FROM session WHERE program_id = $1 AND subject_id = $2"
EXPORT_REGISTRATIONS: Final = """
SELECT channel, name, member_id AS sealed_for, referral_code, expires_at FROM registration
 WHERE program_id = $1 AND member_id = $2 ORDER BY expires_at
"""
ERASE_REGISTRATIONS: Final = "DELETE FROM registration WHERE program_id = $1 AND member_id = $2"
EXPORT_IDENTITIES: Final = """
SELECT id, id AS sealed_for, provider, subject, mail, created_at, last_used_at FROM identity
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_IDENTITIES: Final = "DELETE FROM identity WHERE program_id = $1 AND member_id = $2"
EXPORT_CODES: Final = """
SELECT id, purpose, channel, language, asked_at, used_at FROM one_time_code
 WHERE program_id = $1 AND subject_id = $2 ORDER BY id
"""
ERASE_CODES: Final = "DELETE FROM one_time_code WHERE program_id = $1 AND subject_id = $2"
EXPORT_TOTP: Final = """
SELECT enabled_at, created_at FROM totp WHERE program_id = $1 AND subject_id = $2
"""
# The recovery codes go with it.
ERASE_TOTP: Final = "DELETE FROM totp WHERE program_id = $1 AND subject_id = $2"
EXPORT_CHALLENGES: Final = """
SELECT created_at, used_at FROM mfa_challenge
 WHERE program_id = $1 AND subject_id = $2 ORDER BY created_at
"""
ERASE_CHALLENGES: Final = "DELETE FROM mfa_challenge WHERE program_id = $1 AND subject_id = $2"
EXPORT_AUDIT_ENTRIES: Final = """
SELECT id, at, action, object_id, before, after, address FROM audit_entry
 WHERE program_id = $1 AND (object_id = $2 OR actor = $2) ORDER BY at, id
"""
EXPORT_EXPORTS: Final = """
SELECT id, state, size_bytes, requested_by, created_at, finished_at FROM member_export
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
EXPORT_ERASURES: Final = """
SELECT id, state, requested_by, created_at, finished_at FROM erasure
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""

EXPORT_KYC: Final = """
SELECT state, document, member_id AS sealed_for, reason, submitted_at, reviewed_at FROM kyc
 WHERE program_id = $1 AND member_id = $2
"""
# Whom money was paid to, or is to be, the law wants to know for some years (`db.retention`).
ERASE_KYC: Final = """
DELETE FROM kyc
 WHERE program_id = $1 AND member_id = $2
   AND NOT EXISTS (SELECT FROM withdrawal w
                    WHERE w.member_id = kyc.member_id AND w.program_id = $1
                      AND w.state NOT IN ('failed', 'rejected', 'canceled'))
"""
EXPORT_PAYOUT_METHODS: Final = """
SELECT id, id AS sealed_for, kind, details, created_at FROM payout_method
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_PAYOUT_METHODS: Final = "DELETE FROM payout_method WHERE program_id = $1 AND member_id = $2"
EXPORT_ADJUSTMENTS: Final = """
SELECT id, kind, amount_minor, currency, reason, state, created_at, decided_at FROM adjustment
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
EXPORT_WITHDRAWALS: Final = """
SELECT id, id AS sealed_for, amount_minor, currency, state, method, destination, reason, utr,
       requested_at, updated_at
  FROM withdrawal WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
EXPORT_CLAIMS: Final = """
SELECT id, state, click_id, offer_id, merchant_id, order_id, order_minor, order_currency,
       ordered_at, credit_minor, currency, reason, conversion_id, opened_at, decided_at, updated_at
  FROM claim WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
EXPORT_EVIDENCE: Final = """
SELECT id, id AS sealed_for, claim_id, content, added_at FROM claim_evidence
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_EVIDENCE: Final = "DELETE FROM claim_evidence WHERE program_id = $1 AND member_id = $2"
EXPORT_CONVERSIONS: Final = """
SELECT id, state, order_id, sale_minor, sale_currency, booked_cashback_minor, booked_currency,
       click_id, offer_id, event_at, first_seen_at, updated_at
  FROM conversion WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
EXPORT_REFERRAL_CODES: Final = """
SELECT id, code, created_at FROM referral_code
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
ERASE_REFERRAL_CODES: Final = "DELETE FROM referral_code WHERE program_id = $1 AND member_id = $2"
# Who is on the other side is not the member's to take along.
EXPORT_REFERRALS: Final = """
SELECT id, CASE WHEN member_id = $2 THEN 'referee' ELSE 'referrer' END AS side, state, currency,
       CASE WHEN member_id = $2 THEN referee_minor ELSE referrer_minor END AS reward_minor,
       claimed_at, qualified_at
  FROM referral WHERE program_id = $1 AND (member_id = $2 OR referrer_id = $2) ORDER BY id
"""


class Table(NamedTuple):
    """A table, its exporter and its eraser; without one of them, `why` says so.

    `sealed` has the columns that are sealed, and what their values are sealed for.
    """

    name: str
    export: str | None = None
    erase: str | None = None
    why: str = ""
    sealed: Mapping[str, str] = {}


LEDGER: Final = "The ledger is never changed; it names a member that is nobody any more."
PROOF: Final = (
    "It proves what was done at whose request, and names a member that is nobody any more."
)

OPERATORS: Final = "Operators work for the program; their rows go when they are deleted."

#: The member's own row comes first: from then on nothing new is written of the member.
TABLES: Final = (
    Table("member", EXPORT_MEMBER, ERASE_MEMBER, sealed={"profile": members.PROFILE}),
    Table(
        "member_contact",
        EXPORT_CONTACTS,
        ERASE_CONTACTS,
        sealed={"sealed": "member_contact.sealed"},
    ),
    Table(
        "credential", EXPORT_CREDENTIALS, ERASE_CREDENTIALS, "Of a password only its hash is known."
    ),
    Table("session", EXPORT_SESSIONS, ERASE_SESSIONS),
    Table(
        "registration",
        EXPORT_REGISTRATIONS,
        ERASE_REGISTRATIONS,
        "It waits for proof, and its contact is not the member's before that.",
        sealed={"name": "registration.name"},
    ),
    Table(
        "identity",
        EXPORT_IDENTITIES,
        ERASE_IDENTITIES,
        "A refresh token lets somebody in, and is not exported.",
        sealed={"subject": "identity.subject", "mail": "identity.mail"},
    ),
    Table("one_time_code", EXPORT_CODES, ERASE_CODES, "Codes without a subject live for a day."),
    Table("totp", EXPORT_TOTP, ERASE_TOTP, "Its secret lets somebody in, and is not exported."),
    Table("recovery_code", why="They let somebody in, are hashes, and go with `totp`."),
    Table("mfa_challenge", EXPORT_CHALLENGES, ERASE_CHALLENGES),
    Table("operator", why=OPERATORS),
    Table("consent", EXPORT_CONSENTS, ERASE_CONSENTS),
    Table(
        "notification",
        EXPORT_NOTIFICATIONS,
        ERASE_NOTIFICATIONS,
        "`variables` may be a code that lets somebody in, and are not exported.",
        sealed={"address": "notification.address"},
    ),
    Table("notice", EXPORT_NOTICES, ERASE_NOTICES, sealed={"variables": "notice.variables"}),
    Table("notification_preference", EXPORT_PREFERENCES, ERASE_PREFERENCES),
    Table("quiet_hours", EXPORT_QUIET_HOURS, ERASE_QUIET_HOURS),
    Table(
        "push_subscription",
        EXPORT_PUSH_SUBSCRIPTIONS,
        ERASE_PUSH_SUBSCRIPTIONS,
        sealed={"address": "push_subscription.address"},
    ),
    Table("click", EXPORT_CLICKS, ERASE_CLICKS),
    Table("account", EXPORT_ACCOUNTS, why=LEDGER),
    Table("ledger_transaction", EXPORT_TRANSACTIONS, why=LEDGER),
    Table("hold", EXPORT_HOLDS, why=LEDGER),
    Table("money_account", EXPORT_MONEY_ACCOUNTS, why=LEDGER),
    Table("money_transaction", EXPORT_MONEY, why=LEDGER),
    Table("kyc", EXPORT_KYC, ERASE_KYC, sealed={"document": "kyc.document"}),
    Table(
        "payout_method",
        EXPORT_PAYOUT_METHODS,
        ERASE_PAYOUT_METHODS,
        sealed={"details": "payout_method.details"},
    ),
    Table(
        "withdrawal",
        EXPORT_WITHDRAWALS,
        why=PROOF + " Where the money went is forgotten when its time is over.",
        sealed={"destination": "withdrawal.destination"},
    ),
    Table("adjustment", EXPORT_ADJUSTMENTS, why=PROOF),
    Table(
        "payout_event", why="What providers say of payouts names withdrawals, and goes in 30 days."
    ),
    Table("conversion", EXPORT_CONVERSIONS, why=PROOF + " The networks know it, too."),
    Table("claim", EXPORT_CLAIMS, why=PROOF + " The networks know of it, too."),
    Table(
        "claim_evidence",
        EXPORT_EVIDENCE,
        ERASE_EVIDENCE,
        sealed={"content": "claim_evidence.content"},
    ),
    Table("referral_code", EXPORT_REFERRAL_CODES, ERASE_REFERRAL_CODES),
    Table("referral", EXPORT_REFERRALS, why=PROOF),
    Table("network", why="Its credentials are the program's, and no person's."),
    Table("audit_entry", EXPORT_AUDIT_ENTRIES, why=PROOF + " It goes when its time is over."),
    Table("member_export", EXPORT_EXPORTS, why=PROOF + " The files are deleted."),
    Table("erasure", EXPORT_ERASURES, why=PROOF),
    Table("webhook_endpoint", why="Its secrets are the program's, and no person's."),
    Table("idempotency", why="Its answers are sealed, name no member, and live for a day."),
)

EXPORTED: Final = tuple(table for table in TABLES if table.export is not None)
ERASED: Final = tuple(table for table in TABLES if table.erase is not None)

_encode: Final = msgspec.json.Encoder().encode


async def rows(
    db: Db, ring: KeyRing, table: Table, program_id: str, member_id: str
) -> AsyncIterator[bytes]:
    """The rows of a table as JSON objects, in the caller's transaction; BadField."""
    assert table.export is not None
    async for row in db.cursor(table.export, program_id, member_id, prefetch=ROWS_A_TURN):
        yield _encode(_opened(ring, table, dict(row)))


async def erase(db: Db, table: Table, program_id: str, member_id: str) -> None:
    """Forget what the table has of the member. A second time changes nothing."""
    assert table.erase is not None
    await db.execute(table.erase, program_id, member_id, timeout=TIMEOUT_S)


def _opened(ring: KeyRing, table: Table, row: dict[str, Any]) -> dict[str, Any]:
    sealed_for = row.pop("sealed_for", "")
    for column, name in table.sealed.items():
        if row[column] is not None:
            row[column] = sealing.unseal(ring, row[column], name, sealed_for)
    for column in JSON:
        if isinstance(row.get(column), str):
            row[column] = msgspec.Raw(row[column].encode())
    return row
