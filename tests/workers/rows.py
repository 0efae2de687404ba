"""What is stored of a member by statements, where to write it as it comes about takes long."""

from __future__ import annotations

SESSION = """
INSERT INTO session (id, program_id, subject_id, role, has_second_factor, family_hash, refresh_hash,
                     user_agent, expires_at)
VALUES ($1, $2, $3, 'member', false, '', '', 'Lynx', now() + interval '1 day')
"""
REGISTRATION = """
INSERT INTO registration (hash, program_id, member_id, channel, contact, name, password_hash,
                          expires_at)
VALUES ($1::text::bytea, $2, $1, 'email', $3, $4, '', now() + interval '1 day')
"""
IDENTITY = """
INSERT INTO identity (id, program_id, member_id, provider, subject, subject_hash)
VALUES ('idn_' || $1, $2, $1, 'google', $3, $1::text::bytea)
"""
CODE = """
INSERT INTO one_time_code (id, program_id, purpose, channel, language, contact_hash, subject_id,
                           asked_at)
VALUES ('otc_' || $1, $2, 'sign_in', 'email', 'en', '', $1, now())
"""
DEVICE = "INSERT INTO push_subscription VALUES ('psh_' || $1, $2, $1, 'fcm', $3, $1::text::bytea)"
TOTP = "INSERT INTO totp (subject_id, program_id, secret) VALUES ($1, $2, $3)"
RECOVERY = "INSERT INTO recovery_code (subject_id, code_hash) VALUES ($1, '')"
CHALLENGE = """
INSERT INTO mfa_challenge (token_hash, program_id, subject_id, created_at)
VALUES ($1::text::bytea, $2, $1, now())
"""
CLAIM = """
INSERT INTO claim (id, program_id, member_id, state, version, order_id, order_minor, order_currency,
                   ordered_at, proposal, reasons, facts, currency, language, opened_by, opened_at,
                   updated_at)
VALUES ('clm_' || $1, $2, $1, 'opened', 1, $1, 1, 'INR', now(), 'reject', '{}', '{}', 'INR', 'en',
        $1, now(), now())
"""
EVIDENCE = """
INSERT INTO claim_evidence (id, program_id, claim_id, member_id, content, added_by, added_at)
VALUES ('evd_' || $1, $2, 'clm_' || $1, $1, $3, $1, now())
"""
REFERRAL = """
INSERT INTO referral (id, program_id, member_id, referrer_id, version, state, currency,
                      referrer_minor, referee_minor, minimum_commission_minor, minimum_sale_minor,
                      qualifies_until, claimed_at, updated_at)
VALUES ('ref_1', $1, $2, $3, 1, 'claimed', 'INR', 7, 5, 0, 0, now(), now(), now())
"""
