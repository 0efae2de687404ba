-- Members who bring others: a code for each, who came by whose, and what both got for it.

ALTER TABLE money_account DROP CONSTRAINT money_account_role_is_known;
ALTER TABLE money_account ADD CONSTRAINT money_account_role_is_known CHECK (role IN ('receivable',
    'settled', 'promotion', 'claims_float', 'referral', 'expected', 'margin', 'pending', 'review',
    'available', 'held', 'paid_out', 'bad_debt'));

CREATE TABLE referral_code (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    code text NOT NULL COLLATE "C",
    created_at timestamptz NOT NULL,
    CONSTRAINT referral_code_pkey PRIMARY KEY (id),
    CONSTRAINT referral_code_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT referral_code_is_one UNIQUE (program_id, code),
    CONSTRAINT referral_code_of_member UNIQUE (member_id)
);
CREATE INDEX referral_code_by_program ON referral_code (program_id, id);

-- `member_id` came by the code of `referrer_id`. What is promised is what the program's settings said
-- then. `version` counts the changes; each moves its money once.
CREATE TABLE referral (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    referrer_id text NOT NULL COLLATE "C",
    version integer NOT NULL,
    state text NOT NULL COLLATE "C",
    reason text COLLATE "C",
    currency text NOT NULL COLLATE "C",
    referrer_minor bigint NOT NULL,
    referee_minor bigint NOT NULL,
    minimum_commission_minor bigint NOT NULL,
    minimum_sale_minor bigint NOT NULL,
    qualifies_until timestamptz NOT NULL,
    conversion_id text COLLATE "C",
    claimed_at timestamptz NOT NULL,
    qualified_at timestamptz,
    updated_at timestamptz NOT NULL,
    CONSTRAINT referral_pkey PRIMARY KEY (id),
    CONSTRAINT referral_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT referral_referrer_exists FOREIGN KEY (referrer_id) REFERENCES member (id),
    CONSTRAINT referral_of_member UNIQUE (member_id),
    CONSTRAINT referral_is_between_two CHECK (member_id <> referrer_id),
    CONSTRAINT referral_state_is_known CHECK (
        state IN ('claimed', 'qualified', 'rewarded', 'refused', 'reversed')),
    CONSTRAINT referral_reason_is_known CHECK (reason IN ('closed', 'budget_exhausted',
        'referrer_cap', 'referrer_gone', 'member_gone', 'same_person')),
    CONSTRAINT referral_refusal_has_a_reason CHECK ((state = 'refused') = (reason IS NOT NULL)),
    CONSTRAINT referral_rewards_are_not_negative CHECK (referrer_minor >= 0 AND referee_minor >= 0)
);
CREATE INDEX referral_by_program ON referral (program_id, id);
CREATE INDEX referral_by_referrer ON referral (referrer_id, id);

-- A code that was given with a sign-up is claimed when the sign-up is confirmed.
ALTER TABLE registration ADD COLUMN referral_code text COLLATE "C";
