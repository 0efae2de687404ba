-- Accounts at affiliate networks, what those report, and what it is worth.

-- `config` is the provider's, `rules` are ours; both are JSON. `credentials` is sealed. The sync has
-- read the window from `sync_from` to `sync_to` up to `sync_cursor`, and all before `synced_until`.
CREATE TABLE network (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    provider text NOT NULL COLLATE "C",
    name text NOT NULL,
    state text NOT NULL DEFAULT 'enabled' COLLATE "C",
    config jsonb NOT NULL,
    rules jsonb NOT NULL,
    credentials bytea,
    token_hash bytea NOT NULL,
    previous_token_hash bytea,
    previous_token_until timestamptz,
    sync_from timestamptz,
    sync_to timestamptz,
    sync_cursor text,
    synced_until timestamptz,
    last_synced_at timestamptz,
    next_sync_at timestamptz NOT NULL DEFAULT now(),
    sync_failures integer NOT NULL DEFAULT 0,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT network_pkey PRIMARY KEY (id),
    CONSTRAINT network_program_exists FOREIGN KEY (program_id) REFERENCES program (id),
    CONSTRAINT network_state_is_known CHECK (state IN ('enabled', 'disabled')),
    CONSTRAINT network_previous_token_ends CHECK (
        (previous_token_hash IS NULL) = (previous_token_until IS NULL)),
    CONSTRAINT network_window_is_whole CHECK ((sync_from IS NULL) = (sync_to IS NULL))
);
CREATE INDEX network_by_program ON network (program_id, id);

-- One unit of `source` is `rate` units of `target`, from `valid_from` until the next one.
CREATE TABLE exchange_rate (
    program_id text NOT NULL COLLATE "C",
    source text NOT NULL COLLATE "C",
    target text NOT NULL COLLATE "C",
    valid_from timestamptz NOT NULL,
    rate numeric NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT exchange_rate_pkey PRIMARY KEY (program_id, source, target, valid_from),
    CONSTRAINT exchange_rate_program_exists FOREIGN KEY (program_id) REFERENCES program (id),
    CONSTRAINT exchange_rate_is_positive CHECK (rate > 0),
    CONSTRAINT exchange_rate_is_between_two CHECK (source <> target)
);

-- Every call of a network, as it came. Without a verdict it waits to be read.
CREATE TABLE postback (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    network_id text NOT NULL COLLATE "C",
    received_at timestamptz NOT NULL,
    method text NOT NULL COLLATE "C",
    query text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    verdict text COLLATE "C",
    detail text,
    conversion_id text COLLATE "C",
    processed_at timestamptz,
    CONSTRAINT postback_pkey PRIMARY KEY (id),
    CONSTRAINT postback_verdict_is_whole CHECK ((verdict IS NULL) = (processed_at IS NULL))
);
CREATE INDEX postback_unread ON postback (id) WHERE verdict IS NULL;
CREATE INDEX postback_by_network ON postback (network_id, id);
CREATE INDEX postback_of_conversion ON postback (conversion_id) WHERE conversion_id IS NOT NULL;

-- What a network says of a transaction, to whom it belongs, and what of it is booked. `version`
-- counts the changes; each moves its money once. `counted` names what was added up already.
CREATE TABLE conversion (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    network_id text NOT NULL COLLATE "C",
    txn_id text NOT NULL COLLATE "C",
    event text NOT NULL COLLATE "C",
    version integer NOT NULL,
    state text NOT NULL COLLATE "C",
    parked text COLLATE "C",
    review text COLLATE "C",
    status_word text NOT NULL,
    order_id text,
    sale_minor bigint,
    sale_currency text COLLATE "C",
    commission_minor bigint NOT NULL,
    corrected_minor bigint NOT NULL,
    counted text[] NOT NULL,
    currency text COLLATE "C",
    event_at timestamptz,
    reported_at timestamptz,
    click_id text COLLATE "C",
    link_id text COLLATE "C",
    offer_id text COLLATE "C",
    merchant_id text COLLATE "C",
    member_id text COLLATE "C",
    attribution text NOT NULL COLLATE "C",
    reasons text[] NOT NULL,
    booked_currency text COLLATE "C",
    booked_commission_minor bigint NOT NULL,
    booked_cashback_minor bigint NOT NULL,
    rate text,
    next_try_at timestamptz,
    first_seen_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    approved_at timestamptz,
    settled_at timestamptz,
    reversed_at timestamptz,
    CONSTRAINT conversion_pkey PRIMARY KEY (id),
    CONSTRAINT conversion_is_one UNIQUE (network_id, txn_id, event),
    CONSTRAINT conversion_state_is_known CHECK (
        state IN ('pending', 'approved', 'settled', 'rejected', 'reversed')),
    CONSTRAINT conversion_parked_is_known CHECK (
        parked IN ('awaiting_click', 'currency_unknown', 'unattributed')),
    CONSTRAINT conversion_review_is_known CHECK (review IN ('held', 'released', 'rejected')),
    CONSTRAINT conversion_books_part_of_the_commission CHECK (
        booked_cashback_minor BETWEEN 0 AND booked_commission_minor)
);
CREATE INDEX conversion_by_program ON conversion (program_id, id);
CREATE INDEX conversion_by_member ON conversion (member_id, id) WHERE member_id IS NOT NULL;
CREATE INDEX conversion_by_click ON conversion (click_id) WHERE click_id IS NOT NULL;
CREATE INDEX conversion_to_try ON conversion (next_try_at) WHERE next_try_at IS NOT NULL;
