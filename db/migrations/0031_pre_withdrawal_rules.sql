-- Fraud rules look at withdrawals, too: what they find, and who may then approve them.

-- What is held a person approves, and no key. `reasons` are for operators.
ALTER TABLE withdrawal
    ADD COLUMN is_held boolean NOT NULL DEFAULT false,
    ADD COLUMN reasons text[] NOT NULL DEFAULT '{}';

CREATE TABLE withdrawal_hit (
    withdrawal_id text NOT NULL COLLATE "C",
    rule_id text NOT NULL COLLATE "C",
    rule_version integer NOT NULL,
    program_id text NOT NULL COLLATE "C",
    action text NOT NULL COLLATE "C",
    is_shadow boolean NOT NULL,
    reason text NOT NULL,
    hit_at timestamptz NOT NULL,
    CONSTRAINT withdrawal_hit_pkey PRIMARY KEY (withdrawal_id, rule_id),
    CONSTRAINT withdrawal_hit_withdrawal_exists FOREIGN KEY (withdrawal_id) REFERENCES withdrawal (id),
    CONSTRAINT withdrawal_hit_action_is_known CHECK (action IN ('flag', 'hold', 'reject'))
);
CREATE INDEX withdrawal_hit_by_rule ON withdrawal_hit (rule_id, rule_version);
