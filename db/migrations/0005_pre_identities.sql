-- With which identities at other providers members sign in. Subject, mail and refresh token are sealed
-- (core/fields.py); the subject is found by its keyed hash.

CREATE TABLE identity (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL REFERENCES member (id),
    provider text COLLATE "C" NOT NULL CONSTRAINT identity_provider_is_a_word CHECK (provider ~ '^[a-z]{1,32}$'),
    subject bytea NOT NULL,
    subject_hash bytea NOT NULL,
    mail bytea,
    refresh_token bytea,
    -- Somebody is asking the provider for new tokens, who may replace these until then.
    refreshing_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_is_unique UNIQUE (program_id, provider, subject_hash),
    CONSTRAINT identity_provider_is_linked_once UNIQUE (member_id, provider)
);
