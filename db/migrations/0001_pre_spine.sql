-- The spine: programs, members, links, clicks, points and stamps, outbox, webhooks.
-- Event tables carry no foreign keys: nothing that a client sends may stall a partition.
-- Text ids sort bytewise, so that a TypeID's time order is the index order.

CREATE TABLE installation (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_is_single CHECK (singleton),
    award_partitions smallint NOT NULL CONSTRAINT award_partitions_fit CHECK (award_partitions BETWEEN 1 AND 256),
    click_partitions smallint NOT NULL CONSTRAINT click_partitions_fit CHECK (click_partitions BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation (award_partitions, click_partitions) VALUES (16, 8);

CREATE TABLE program (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    currency text NOT NULL CONSTRAINT program_currency_is_iso CHECK (currency ~ '^[A-Z]{3}$'),
    time_zone text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE merchant (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    external_id text,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT merchant_external_id_is_unique UNIQUE (program_id, external_id)
);

CREATE TABLE member (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    external_id text,
    name text,
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT member_external_id_is_unique UNIQUE (program_id, external_id)
);
CREATE INDEX member_by_program ON member (program_id, id);

-- One sequence over all links: a slug that changes hands still sees rising versions.
CREATE SEQUENCE link_version;

CREATE TABLE link (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    slug text COLLATE "C" NOT NULL,
    external_id text,
    config jsonb NOT NULL,
    password_hash text,
    version bigint NOT NULL DEFAULT nextval('link_version'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT link_slug_is_unique UNIQUE (slug),
    CONSTRAINT link_external_id_is_unique UNIQUE (program_id, external_id)
);
CREATE INDEX link_by_program ON link (program_id, id);

-- What a program may give out, and how much of that each award partition has leased: leases are
-- taken before they are spent, so the budget can be underused for a while but never exceeded.
CREATE TABLE budget (
    program_id text COLLATE "C" NOT NULL,
    unit text COLLATE "C" NOT NULL,
    total bigint NOT NULL CONSTRAINT budget_is_not_negative CHECK (total >= 0),
    leased bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (program_id, unit)
);
CREATE TABLE budget_lease (
    program_id text COLLATE "C" NOT NULL,
    unit text COLLATE "C" NOT NULL,
    partition smallint NOT NULL,
    leased bigint NOT NULL,
    PRIMARY KEY (program_id, unit, partition)
);

-- Clicks, one partition a day of the click id's own milliseconds; the rest lands in DEFAULT.
CREATE TABLE click (
    day date NOT NULL,
    click_id text COLLATE "C" NOT NULL,
    program_id text COLLATE "C" NOT NULL,
    link_id text COLLATE "C" NOT NULL,
    clicked_at timestamptz NOT NULL,
    class smallint NOT NULL,
    reasons text[] NOT NULL,
    address_hash bytea,
    country text,
    device text NOT NULL,
    system text NOT NULL,
    browser text NOT NULL,
    user_agent text,
    referrer text,
    privacy_signal boolean NOT NULL,
    member_id text COLLATE "C",
    variant text,
    parameters jsonb,
    PRIMARY KEY (day, click_id)
) PARTITION BY RANGE (day);
CREATE TABLE click_default PARTITION OF click DEFAULT;
CREATE INDEX click_by_link ON click (link_id, click_id);

-- Partitions from `first` for `ahead` days, and none older than `retention` days. The app role may
-- call it without owning the tables.
CREATE FUNCTION keep_click_partitions(first date, ahead integer, retention integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    d date;
    old record;
BEGIN
    FOR d IN SELECT generate_series(first, first + ahead, '1 day')::date LOOP
        CONTINUE WHEN to_regclass(format('click_%s', to_char(d, 'YYYYMMDD'))) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM click_default WHERE day = d);
        EXECUTE format('CREATE TABLE click_%s PARTITION OF click FOR VALUES FROM (%L) TO (%L)',
            to_char(d, 'YYYYMMDD'), d, d + 1);
    END LOOP;
    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'click'::regclass AND c.relname ~ '^click_[0-9]{8}$'
           AND to_date(right(c.relname, 8), 'YYYYMMDD') < first - retention
    LOOP
        EXECUTE format('DROP TABLE %I', old.relname);
    END LOOP;
    DELETE FROM click_default WHERE day < first - retention;
END
$$;
REVOKE EXECUTE ON FUNCTION keep_click_partitions(date, integer, integer) FROM PUBLIC;

CREATE TABLE click_daily (
    link_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    class smallint NOT NULL,
    device text NOT NULL,
    country text NOT NULL,
    variant text NOT NULL,
    program_id text COLLATE "C" NOT NULL,
    clicks bigint NOT NULL,
    PRIMARY KEY (link_id, day, class, device, country, variant)
);

-- How far the dense sequence of each redirector boot has been seen: the difference is lost clicks.
CREATE TABLE click_boot (
    boot integer PRIMARY KEY,
    highest bigint NOT NULL,
    stored bigint NOT NULL,
    last_click_at timestamptz NOT NULL
);

CREATE TABLE address_salt (
    day date PRIMARY KEY,
    salt bytea NOT NULL
);

-- One row per stream: which entry was applied last. `generation` fences writers from before a rebuild.
CREATE TABLE stream_checkpoint (
    stream text COLLATE "C" PRIMARY KEY,
    last_id text COLLATE "C" NOT NULL DEFAULT '0-0',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE award_partition (
    partition smallint PRIMARY KEY,
    generation integer NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    rebuilt_at timestamptz
);
INSERT INTO award_partition (partition) SELECT generate_series(0, 15);
INSERT INTO stream_checkpoint (stream) SELECT format('{a%s}:ev', to_char(p, 'FM00')) FROM generate_series(0, 15) AS p;
INSERT INTO stream_checkpoint (stream) SELECT format('{c%s}:ev', p) FROM generate_series(0, 7) AS p;

-- Double entry. A posting moves an amount from one account to another in one unit, so each
-- transaction sums to zero by construction; `ledger_entry` shows it as two signed legs.
CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL DEFAULT '',
    unit text COLLATE "C" NOT NULL,
    partition smallint NOT NULL,
    balance bigint NOT NULL DEFAULT 0,
    CONSTRAINT account_is_unique UNIQUE (program_id, role, member_id, unit, partition)
);
CREATE INDEX account_by_member ON account (member_id) WHERE member_id <> '';
CREATE INDEX account_by_partition ON account (partition);

CREATE TABLE ledger_transaction (
    partition smallint NOT NULL,
    generation integer NOT NULL,
    sequence bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    unit text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    remainder bigint NOT NULL,
    caller text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,
    related text COLLATE "C",
    reason text,
    reference text,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (partition, generation, sequence)
);
CREATE INDEX ledger_transaction_by_member ON ledger_transaction (member_id, generation, sequence);
CREATE INDEX ledger_transaction_reversal ON ledger_transaction (partition, related) WHERE type = 'reversal';
CREATE INDEX ledger_transaction_by_time ON ledger_transaction USING brin (recorded_at);

CREATE TABLE posting (
    partition smallint NOT NULL,
    generation integer NOT NULL,
    sequence bigint NOT NULL,
    ordinal smallint NOT NULL,
    source_id bigint NOT NULL,
    destination_id bigint NOT NULL,
    unit text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CONSTRAINT posting_moves_something CHECK (amount > 0),
    CONSTRAINT posting_moves_between_accounts CHECK (source_id <> destination_id),
    PRIMARY KEY (partition, generation, sequence, ordinal)
);

CREATE VIEW ledger_entry AS
SELECT partition, generation, sequence, ordinal, source_id AS account_id, unit, -amount AS amount FROM posting
UNION ALL
SELECT partition, generation, sequence, ordinal, destination_id, unit, amount FROM posting;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused, post a reversal', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER posting_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_transaction_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE hold (
    partition smallint NOT NULL,
    generation integer NOT NULL,
    sequence bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL,
    unit text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    captured bigint NOT NULL DEFAULT 0,
    state text COLLATE "C" NOT NULL CONSTRAINT hold_state_is_known CHECK (state IN ('open', 'captured', 'released', 'expired')),
    expires_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (partition, generation, sequence)
);
CREATE INDEX hold_open ON hold (partition) WHERE state = 'open';
CREATE INDEX hold_by_member ON hold (member_id);

-- An event that cannot be applied is set aside here, and its partition goes on.
CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text COLLATE "C" NOT NULL,
    entry_id text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    payload bytea NOT NULL,
    error text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quarantine_is_unique UNIQUE (stream, entry_id, position)
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task text COLLATE "C" NOT NULL,
    payload jsonb NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task text COLLATE "C" NOT NULL,
    payload jsonb NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz
);

CREATE TABLE webhook_endpoint (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    url text NOT NULL,
    events text[] NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'enabled' CONSTRAINT webhook_endpoint_state_is_known CHECK (state IN ('enabled', 'disabled')),
    secret text NOT NULL,
    previous_secret text,
    previous_secret_until timestamptz,
    description text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_endpoint_by_program ON webhook_endpoint (program_id, id);

CREATE TABLE webhook_delivery (
    id text COLLATE "C" PRIMARY KEY,
    endpoint_id text COLLATE "C" NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    program_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'pending' CONSTRAINT webhook_delivery_state_is_known CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    last_status integer,
    last_error text,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_delivery_is_unique UNIQUE (endpoint_id, event_id)
);
CREATE INDEX webhook_delivery_by_program ON webhook_delivery (program_id, id);

-- Answers of JSON routes that are decided in PostgreSQL.
CREATE TABLE idempotency (
    program_id text COLLATE "C" NOT NULL,
    caller text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,
    status smallint,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (program_id, caller, key)
);
CREATE INDEX idempotency_by_time ON idempotency (created_at);

CREATE TABLE schedule_run (
    job text COLLATE "C" NOT NULL,
    due_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (job, due_at)
);
