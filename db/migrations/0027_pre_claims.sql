-- What members say that networks did not report, and what our own click log says of that.

-- What was credited for claims that no network has answered yet.
ALTER TABLE money_account
    DROP CONSTRAINT money_account_role_is_known,
    ADD CONSTRAINT money_account_role_is_known CHECK (role IN ('receivable', 'settled', 'promotion',
        'claims_float', 'expected', 'margin', 'pending', 'review', 'available', 'held', 'paid_out',
        'bad_debt'));

-- `policy` is JSON; a program without a row has the defaults.
CREATE TABLE claim_policy (
    program_id text NOT NULL COLLATE "C",
    policy jsonb NOT NULL,
    updated_by text NOT NULL COLLATE "C",
    updated_at timestamptz NOT NULL,
    CONSTRAINT claim_policy_pkey PRIMARY KEY (program_id),
    CONSTRAINT claim_policy_program_exists FOREIGN KEY (program_id) REFERENCES program (id)
);

-- `version` counts the steps; each moves its money once. `facts` and `proposal` are of the moment
-- when the claim was filed. `conversion_id` is the network's answer: its cashback takes the place of
-- the credit.
CREATE TABLE claim (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    state text NOT NULL COLLATE "C",
    version integer NOT NULL,
    click_id text COLLATE "C",
    clicked_at timestamptz,
    offer_id text COLLATE "C",
    merchant_id text COLLATE "C",
    network_id text COLLATE "C",
    order_id text NOT NULL COLLATE "C",
    order_minor bigint NOT NULL,
    order_currency text NOT NULL COLLATE "C",
    ordered_at timestamptz NOT NULL,
    proposal text NOT NULL COLLATE "C",
    reasons text[] NOT NULL,
    facts jsonb NOT NULL,
    currency text NOT NULL COLLATE "C",
    estimate_minor bigint,
    credit_minor bigint,
    credited_to text COLLATE "C",
    decision text COLLATE "C",
    decided_by text COLLATE "C",
    decided_at timestamptz,
    first_accepted_by text COLLATE "C",
    accepted_by text COLLATE "C",
    reason text,
    conversion_id text COLLATE "C",
    language text NOT NULL COLLATE "C",
    opened_by text NOT NULL COLLATE "C",
    opened_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT claim_pkey PRIMARY KEY (id),
    CONSTRAINT claim_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT claim_of_a_click_is_one UNIQUE (program_id, click_id),
    CONSTRAINT claim_state_is_known CHECK (
        state IN ('opened', 'sent', 'accepted', 'rejected', 'settled', 'declined')),
    CONSTRAINT claim_proposal_is_known CHECK (
        proposal IN ('accept', 'send_to_network', 'reject')),
    CONSTRAINT claim_decision_is_known CHECK (
        decision IN ('accept', 'send_to_network', 'reject')),
    CONSTRAINT claim_decision_is_whole CHECK (
        (decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)),
    CONSTRAINT claim_credit_goes_somewhere CHECK (credited_to IN ('pending', 'available')),
    CONSTRAINT claim_amounts_are_positive CHECK (
        order_minor > 0 AND estimate_minor >= 0 AND credit_minor > 0),
    CONSTRAINT claim_accepted_has_a_credit CHECK (
        state <> 'accepted' OR (credit_minor IS NOT NULL AND credited_to IS NOT NULL)),
    CONSTRAINT claim_has_two_acceptors CHECK (first_accepted_by <> accepted_by)
);
-- Shops write an order with and without `#`, in either case; two shops may use one number.
CREATE UNIQUE INDEX claim_of_an_order_is_one
    ON claim (program_id, merchant_id, lower(ltrim(order_id, '#')));
CREATE INDEX claim_by_program ON claim (program_id, id);
CREATE INDEX claim_by_state ON claim (program_id, state, id);
CREATE INDEX claim_by_member ON claim (member_id, id);

-- `content` is sealed: what was said, and where the receipt is.
CREATE TABLE claim_evidence (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    claim_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    content bytea NOT NULL,
    added_by text NOT NULL COLLATE "C",
    added_at timestamptz NOT NULL,
    CONSTRAINT claim_evidence_pkey PRIMARY KEY (id),
    CONSTRAINT claim_evidence_claim_exists FOREIGN KEY (claim_id) REFERENCES claim (id)
);
CREATE INDEX claim_evidence_by_claim ON claim_evidence (claim_id, id);
CREATE INDEX claim_evidence_by_member ON claim_evidence (member_id);

CREATE INDEX conversion_by_order
    ON conversion (program_id, lower(ltrim(order_id, '#') COLLATE "C")) WHERE order_id IS NOT NULL;
