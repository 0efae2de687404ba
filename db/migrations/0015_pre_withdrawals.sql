-- Who members are to the tax office, where they are paid, and what they asked to be paid.

-- `document` is sealed: number, country and name. Without a row nothing was handed in.
CREATE TABLE kyc (
    member_id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    state text NOT NULL COLLATE "C",
    document bytea NOT NULL,
    document_hash bytea NOT NULL,
    version integer NOT NULL,
    reason text,
    submitted_at timestamptz NOT NULL,
    reviewed_by text COLLATE "C",
    reviewed_at timestamptz,
    CONSTRAINT kyc_pkey PRIMARY KEY (member_id),
    CONSTRAINT kyc_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT kyc_state_is_known CHECK (state IN ('submitted', 'verified', 'rejected')),
    CONSTRAINT kyc_review_is_whole CHECK (
        (state = 'submitted') = (reviewed_by IS NULL) AND (reviewed_by IS NULL) = (reviewed_at IS NULL)),
    CONSTRAINT kyc_rejection_has_a_reason CHECK ((state = 'rejected') = (reason IS NOT NULL))
);
CREATE INDEX kyc_by_document ON kyc (program_id, document_hash);

CREATE TABLE payout_method (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    kind text NOT NULL COLLATE "C",
    details bytea NOT NULL,
    details_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT payout_method_pkey PRIMARY KEY (id),
    CONSTRAINT payout_method_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT payout_method_kind_is_known CHECK (kind IN ('upi', 'bank')),
    CONSTRAINT payout_method_is_one UNIQUE (member_id, details_hash)
);
CREATE INDEX payout_method_by_details ON payout_method (program_id, details_hash);

-- `destination` is a payout method as it was when the money was asked for, sealed; an erasure or the
-- end of its time takes it away. `version` counts the steps; each moves its money once.
CREATE TABLE withdrawal (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    amount_minor bigint NOT NULL,
    currency text NOT NULL COLLATE "C",
    state text NOT NULL COLLATE "C",
    version integer NOT NULL,
    method text NOT NULL COLLATE "C",
    destination bytea,
    language text NOT NULL COLLATE "C",
    provider text COLLATE "C",
    provider_reference text,
    first_approved_by text COLLATE "C",
    approved_by text COLLATE "C",
    decided_by text COLLATE "C",
    reason text,
    utr text,
    requested_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT withdrawal_pkey PRIMARY KEY (id),
    CONSTRAINT withdrawal_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT withdrawal_amount_is_positive CHECK (amount_minor > 0),
    CONSTRAINT withdrawal_method_is_known CHECK (method IN ('upi', 'bank')),
    CONSTRAINT withdrawal_state_is_known CHECK (state IN ('requested', 'approved', 'paying', 'paid',
        'failed', 'rejected', 'canceled', 'reversed')),
    CONSTRAINT withdrawal_is_paid_by_a_provider CHECK (state <> 'paying' OR provider IS NOT NULL),
    CONSTRAINT withdrawal_is_paid_when_approved CHECK (
        approved_by IS NOT NULL OR state NOT IN ('approved', 'paying', 'paid', 'failed', 'reversed')),
    CONSTRAINT withdrawal_has_two_approvers CHECK (first_approved_by <> approved_by)
);
CREATE INDEX withdrawal_by_program ON withdrawal (program_id, id);
CREATE INDEX withdrawal_by_state ON withdrawal (program_id, state, id);
CREATE INDEX withdrawal_by_member ON withdrawal (member_id, id);
