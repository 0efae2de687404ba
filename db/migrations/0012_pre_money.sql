-- The money ledger. Unlike points, money is decided here: an account's row is locked, its balance
-- moves, and what moved it is written down for good.

CREATE TABLE money_account (
    id bigint GENERATED ALWAYS AS IDENTITY,
    program_id text NOT NULL COLLATE "C",
    role text NOT NULL COLLATE "C",
    currency text NOT NULL COLLATE "C",
    member_id text NOT NULL DEFAULT '' COLLATE "C",
    network_id text NOT NULL DEFAULT '' COLLATE "C",
    balance_minor bigint NOT NULL DEFAULT 0,
    CONSTRAINT money_account_pkey PRIMARY KEY (id),
    CONSTRAINT money_account_is_one UNIQUE (program_id, role, currency, member_id, network_id),
    CONSTRAINT money_account_role_is_known CHECK (role IN ('receivable', 'settled', 'promotion',
        'expected', 'margin', 'pending', 'review', 'available', 'held', 'paid_out', 'bad_debt')),
    CONSTRAINT money_account_member_is_named CHECK (
        (member_id <> '') = (role IN ('pending', 'review', 'available', 'held'))),
    CONSTRAINT money_account_network_is_named CHECK ((network_id <> '') = (role = 'receivable')),
    -- What waits is a sum of what was put there; only what is available may be owed back.
    CONSTRAINT money_account_covers_what_waits CHECK (
        balance_minor >= 0 OR role NOT IN ('pending', 'review', 'held', 'paid_out'))
);
CREATE INDEX money_account_of_member ON money_account (member_id) WHERE member_id <> '';

-- `subject` is what the money moved for: a conversion, a withdrawal, a claim. Each step of it moves
-- money once.
CREATE TABLE money_transaction (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    type text NOT NULL COLLATE "C",
    subject text NOT NULL COLLATE "C",
    step integer NOT NULL,
    member_id text COLLATE "C",
    reason text,
    recorded_by text NOT NULL COLLATE "C",
    recorded_at timestamptz NOT NULL,
    CONSTRAINT money_transaction_pkey PRIMARY KEY (id),
    CONSTRAINT money_transaction_is_made_once UNIQUE (program_id, subject, step)
);
CREATE INDEX money_transaction_of_member ON money_transaction (member_id, id)
    WHERE member_id IS NOT NULL;

CREATE TABLE money_posting (
    transaction_id text NOT NULL COLLATE "C",
    ordinal smallint NOT NULL,
    source_id bigint NOT NULL,
    destination_id bigint NOT NULL,
    amount_minor bigint NOT NULL,
    -- What the two accounts had afterwards.
    source_minor bigint NOT NULL,
    destination_minor bigint NOT NULL,
    CONSTRAINT money_posting_pkey PRIMARY KEY (transaction_id, ordinal),
    CONSTRAINT money_posting_transaction_exists FOREIGN KEY (transaction_id)
        REFERENCES money_transaction (id),
    CONSTRAINT money_posting_source_exists FOREIGN KEY (source_id) REFERENCES money_account (id),
    CONSTRAINT money_posting_destination_exists FOREIGN KEY (destination_id)
        REFERENCES money_account (id),
    CONSTRAINT money_posting_moves_something CHECK (amount_minor > 0),
    CONSTRAINT money_posting_moves_between_accounts CHECK (source_id <> destination_id)
);
CREATE INDEX money_posting_by_source ON money_posting (source_id, transaction_id);
CREATE INDEX money_posting_by_destination ON money_posting (destination_id, transaction_id);

CREATE VIEW money_entry AS
SELECT transaction_id, ordinal, source_id AS account_id, -amount_minor AS amount_minor,
       source_minor AS balance_minor
  FROM money_posting
UNION ALL
SELECT transaction_id, ordinal, destination_id, amount_minor, destination_minor FROM money_posting;

CREATE TRIGGER money_posting_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON money_posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER money_transaction_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON money_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
