-- What conversions are booked under stays with them, and what came with them instead of a click id.

ALTER TABLE conversion
    ADD COLUMN hints jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN terms jsonb,
    ADD COLUMN rates jsonb NOT NULL DEFAULT '{}',
    DROP CONSTRAINT conversion_parked_is_known,
    ADD CONSTRAINT conversion_parked_is_known CHECK (
        parked IN ('awaiting_click', 'currency_unknown', 'amount_implausible', 'unattributed'));
UPDATE conversion SET rates = jsonb_build_object(currency || '/' || booked_currency, rate)
 WHERE rate IS NOT NULL AND currency <> booked_currency;

CREATE INDEX conversion_without_rate ON conversion (program_id, id)
    WHERE parked IN ('currency_unknown', 'amount_implausible');

-- One network's share of the work is found without reading the others'.
DROP INDEX conversion_to_try;
CREATE INDEX conversion_to_try ON conversion (network_id, next_try_at) WHERE next_try_at IS NOT NULL;
DROP INDEX postback_unread;
CREATE INDEX postback_unread ON postback (network_id, id) WHERE verdict IS NULL;

-- A provider that speaks of another amount than it was told is not followed: somebody looks.
ALTER TABLE withdrawal
    DROP CONSTRAINT withdrawal_state_is_known,
    ADD CONSTRAINT withdrawal_state_is_known CHECK (state IN ('requested', 'approved', 'paying', 'unclear',
        'paid', 'failed', 'rejected', 'canceled', 'reversed')),
    DROP CONSTRAINT withdrawal_is_paid_when_approved,
    ADD CONSTRAINT withdrawal_is_paid_when_approved CHECK (
        approved_by IS NOT NULL
        OR state NOT IN ('approved', 'paying', 'unclear', 'paid', 'failed', 'reversed'));
