-- Rules that look for fraud, what they hit, the cases that operators decide, and looking again.

CREATE TABLE fraud_rule (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT fraud_rule_pkey PRIMARY KEY (id),
    CONSTRAINT fraud_rule_program_exists FOREIGN KEY (program_id) REFERENCES program (id)
);
CREATE INDEX fraud_rule_by_program ON fraud_rule (program_id, id) WHERE deleted_at IS NULL;

-- Every version stays, so that a hit says which values made it. `condition` is JSON.
CREATE TABLE fraud_rule_version (
    rule_id text NOT NULL COLLATE "C",
    version integer NOT NULL,
    program_id text NOT NULL COLLATE "C",
    name text NOT NULL,
    condition jsonb NOT NULL,
    action text NOT NULL COLLATE "C",
    is_shadow boolean NOT NULL,
    changed_by text NOT NULL COLLATE "C",
    changed_at timestamptz NOT NULL,
    CONSTRAINT fraud_rule_version_pkey PRIMARY KEY (rule_id, version),
    CONSTRAINT fraud_rule_version_rule_exists FOREIGN KEY (rule_id) REFERENCES fraud_rule (id),
    CONSTRAINT fraud_rule_version_action_is_known CHECK (action IN ('flag', 'hold', 'reject'))
);

-- `cashback_minor` is what was at stake when the case was opened. `decided_by` is an operator, a
-- key or a rule. `version` counts the steps; endpoints are told each once.
CREATE TABLE fraud_case (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    conversion_id text NOT NULL COLLATE "C",
    state text NOT NULL COLLATE "C",
    version integer NOT NULL,
    currency text COLLATE "C",
    cashback_minor bigint NOT NULL,
    decided_by text COLLATE "C",
    reason text,
    opened_at timestamptz NOT NULL,
    decided_at timestamptz,
    CONSTRAINT fraud_case_pkey PRIMARY KEY (id),
    CONSTRAINT fraud_case_state_is_known CHECK (state IN ('open', 'released', 'rejected')),
    CONSTRAINT fraud_case_decision_is_whole CHECK (
        (state = 'open') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL))
);
CREATE INDEX fraud_case_by_program ON fraud_case (program_id, id);
CREATE INDEX fraud_case_by_state ON fraud_case (program_id, state, id);
CREATE INDEX fraud_case_by_conversion ON fraud_case (conversion_id, id);
CREATE UNIQUE INDEX fraud_case_is_open_once ON fraud_case (conversion_id) WHERE state = 'open';

-- `rule_id` is the network's, with version 0, when the network's own `click_min_s` held it. Without
-- a case it was hit in shadow mode. Withdrawn is what does not hit any more when it is looked at again.
CREATE TABLE fraud_hit (
    conversion_id text NOT NULL COLLATE "C",
    rule_id text NOT NULL COLLATE "C",
    rule_version integer NOT NULL,
    program_id text NOT NULL COLLATE "C",
    case_id text COLLATE "C",
    action text NOT NULL COLLATE "C",
    is_shadow boolean NOT NULL,
    reason text NOT NULL,
    hit_at timestamptz NOT NULL,
    withdrawn_at timestamptz,
    CONSTRAINT fraud_hit_pkey PRIMARY KEY (conversion_id, rule_id, rule_version),
    CONSTRAINT fraud_hit_action_is_known CHECK (action IN ('flag', 'hold', 'reject')),
    CONSTRAINT fraud_hit_in_shadow_opens_no_case CHECK (is_shadow = (case_id IS NULL))
);
CREATE INDEX fraud_hit_by_case ON fraud_hit (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX fraud_hit_by_rule ON fraud_hit (rule_id, rule_version);

-- A rule, as it was or as it was given, looks at conversions again. `network_id` and `conversion_id`
-- are how far that is; without a network nothing is left. `difference` is JSON.
CREATE TABLE reclassification (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    rule_id text COLLATE "C",
    rule_version integer,
    condition jsonb NOT NULL,
    action text NOT NULL COLLATE "C",
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    is_dry_run boolean NOT NULL,
    state text NOT NULL COLLATE "C",
    network_id text COLLATE "C",
    conversion_id text NOT NULL COLLATE "C",
    looked_at integer NOT NULL,
    flagged integer NOT NULL,
    held integer NOT NULL,
    rejected integer NOT NULL,
    released integer NOT NULL,
    difference jsonb NOT NULL,
    requested_by text NOT NULL COLLATE "C",
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT reclassification_pkey PRIMARY KEY (id),
    CONSTRAINT reclassification_program_exists FOREIGN KEY (program_id) REFERENCES program (id),
    CONSTRAINT reclassification_state_is_known CHECK (state IN ('queued', 'running', 'done')),
    CONSTRAINT reclassification_action_is_known CHECK (action IN ('flag', 'hold', 'reject')),
    CONSTRAINT reclassification_rule_is_whole CHECK ((rule_id IS NULL) = (rule_version IS NULL)),
    CONSTRAINT reclassification_without_a_rule_is_dry CHECK (is_dry_run OR rule_id IS NOT NULL),
    CONSTRAINT reclassification_looks_at_a_span CHECK (since < until),
    CONSTRAINT reclassification_ends_when_it_is_done CHECK ((state = 'done') = (finished_at IS NOT NULL))
);
CREATE INDEX reclassification_by_program ON reclassification (program_id, id);
