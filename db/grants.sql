-- Least privilege, laid down anew after each migration, so that a grant taken out here is gone. The
-- roles are made by whoever runs the server (the local run makes them); one that does not exist gets
-- nothing, and the owner's credentials then serve all processes.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['stampgate_app', 'stampgate_flush'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', name);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA public TO %I', name);
        EXECUTE format('GRANT INSERT ON outbox, webhook_delivery TO %I', name);
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stampgate_app') THEN
        GRANT INSERT, UPDATE ON program, merchant, member, link, webhook_endpoint, schedule_run,
            budget_lease, budget, dead_letter TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON member_contact, operator, credential, revocation, session,
            invitation, registration TO stampgate_app;
        GRANT INSERT ON consent, member_export, erasure TO stampgate_app;
        GRANT UPDATE ON member_export, erasure TO stampgate_app;
        GRANT DELETE ON consent, notification TO stampgate_app;
        -- An erased member's clicks go on counting, for nobody.
        GRANT UPDATE (member_id, address_hash, user_agent, referrer, parameters, networks) ON click
            TO stampgate_app;
        GRANT INSERT ON idempotency, notification TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON notice TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON template TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON category, offer TO stampgate_app;
        GRANT UPDATE ON outbox, webhook_delivery, notification TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON one_time_code, totp, recovery_code, mfa_challenge
            TO stampgate_app;
        GRANT DELETE ON webhook_endpoint, idempotency, outbox, webhook_delivery, schedule_run,
            dead_letter, address_salt, link, notification TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON identity, notification_preference, quiet_hours
            TO stampgate_app;
        GRANT INSERT, DELETE ON push_subscription TO stampgate_app;
        GRANT INSERT ON audit_entry, audit_chain TO stampgate_app;
        GRANT UPDATE ON audit_chain TO stampgate_app;
        -- Its place in the chain, once; a trigger refuses the rest.
        GRANT UPDATE (position, digest, is_proven) ON audit_entry TO stampgate_app;
        GRANT EXECUTE ON FUNCTION keep_audit_partitions(date, integer, date) TO stampgate_app;
        GRANT INSERT, UPDATE ON api_key, api_key_usage, break_glass TO stampgate_app;
        GRANT DELETE ON api_key_usage TO stampgate_app;
        GRANT INSERT ON money_account, money_transaction, money_posting TO stampgate_app;
        GRANT UPDATE (balance_minor) ON money_account TO stampgate_app;
        GRANT INSERT, UPDATE ON kyc, withdrawal, payout_event, adjustment, claim, claim_policy
            TO stampgate_app;
        GRANT INSERT, DELETE ON claim_evidence TO stampgate_app;
        GRANT INSERT, UPDATE ON claim_inquiry TO stampgate_app;
        GRANT INSERT ON payout_method, withdrawal_hit TO stampgate_app;
        GRANT DELETE ON kyc, payout_method, payout_event TO stampgate_app;
        GRANT INSERT, UPDATE ON network, exchange_rate, postback, conversion TO stampgate_app;
        GRANT DELETE ON postback TO stampgate_app;
        GRANT INSERT, UPDATE ON fraud_rule, fraud_case, fraud_hit TO stampgate_app;
        GRANT INSERT ON fraud_rule_version TO stampgate_app;
        GRANT INSERT, UPDATE ON reclassification TO stampgate_app;
        GRANT INSERT, DELETE ON source_rate, listed_network, listed_domain TO stampgate_app;
        GRANT INSERT, UPDATE, DELETE ON fraud_list TO stampgate_app;
        GRANT INSERT, UPDATE ON referral TO stampgate_app;
        GRANT INSERT, DELETE ON referral_code TO stampgate_app;
        GRANT USAGE ON SEQUENCE link_version TO stampgate_app;
        GRANT EXECUTE ON FUNCTION keep_click_partitions(date, integer, integer) TO stampgate_app;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stampgate_flush') THEN
        GRANT INSERT ON click, click_daily, click_boot, address_salt, account, posting,
            ledger_transaction, hold, quarantine TO stampgate_flush;
        GRANT UPDATE ON click_daily, click_boot, stream_checkpoint, award_partition, account, hold
            TO stampgate_flush;
        -- The right to lock an endpoint against deletion while deliveries to it are stored.
        GRANT UPDATE (updated_at) ON webhook_endpoint TO stampgate_flush;
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO stampgate_flush', current_database());
    END IF;
END
$$;
