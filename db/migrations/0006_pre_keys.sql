-- API keys of programs. Of a key only its visible part and the SHA-256 of the whole are stored.

CREATE TABLE api_key (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    name text NOT NULL,
    prefix text COLLATE "C" NOT NULL CONSTRAINT api_key_prefix_is_unique UNIQUE,
    hash bytea NOT NULL CONSTRAINT api_key_hash_is_sha256 CHECK (octet_length(hash) = 32),
    -- What the key was before it was rotated, good until then.
    previous_prefix text COLLATE "C" CONSTRAINT api_key_previous_prefix_is_unique UNIQUE,
    previous_hash bytea CONSTRAINT api_key_previous_hash_is_sha256 CHECK (octet_length(previous_hash) = 32),
    previous_until timestamptz,
    scopes text[] NOT NULL CONSTRAINT api_key_has_scopes CHECK (cardinality(scopes) > 0),
    rate_per_minute integer CONSTRAINT api_key_rate_is_not_negative CHECK (rate_per_minute >= 0),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_key_previous_is_whole
        CHECK (num_nonnulls(previous_prefix, previous_hash, previous_until) IN (0, 3))
);
CREATE INDEX api_key_by_program ON api_key (program_id, id);

-- Requests a key made, by UTC day.
CREATE TABLE api_key_usage (
    key_id text COLLATE "C" NOT NULL REFERENCES api_key (id),
    day date NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (key_id, day)
);
