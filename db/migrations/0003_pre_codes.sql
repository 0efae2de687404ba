-- One-time codes, and the second factor of members and operators. What names a person is sealed
-- (core/fields.py) or a keyed hash; what lets somebody in is only there as a keyed hash.

-- A row is a wish for a code; whether there is anybody to send it to turns out later, so that the
-- answer cannot tell. The rows of a day are also what counts wishes and wrong tries. `program_id`
-- is null for operators. `contact` is null once the code is sent, `code_hash` until then.
CREATE TABLE one_time_code (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" REFERENCES program (id),
    purpose text COLLATE "C" NOT NULL CONSTRAINT one_time_code_purpose_is_known CHECK (purpose IN ('sign_in', 'verify', 'reset', 'register')),
    channel text COLLATE "C" NOT NULL CONSTRAINT one_time_code_channel_is_known CHECK (channel IN ('email', 'phone')),
    language text COLLATE "C" NOT NULL,
    contact bytea,
    contact_hash bytea NOT NULL,
    block_hash bytea,
    source_hash bytea,
    subject_id text COLLATE "C",
    code_hash bytea,
    wrong smallint NOT NULL DEFAULT 0 CONSTRAINT one_time_code_wrong_is_bounded CHECK (wrong BETWEEN 0 AND 5),
    asked_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX one_time_code_by_contact ON one_time_code (contact_hash, asked_at);
CREATE INDEX one_time_code_by_block ON one_time_code (block_hash, asked_at) WHERE block_hash IS NOT NULL;
CREATE INDEX one_time_code_by_source ON one_time_code (source_hash, asked_at) WHERE source_hash IS NOT NULL;
CREATE INDEX one_time_code_by_time ON one_time_code (asked_at);

-- The authenticator app of a member or an operator. `last_step` is the latest step whose code was
-- accepted; `wrong` counts wrong codes since `wrong_since`.
CREATE TABLE totp (
    subject_id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" REFERENCES program (id),
    secret bytea NOT NULL,
    enabled_at timestamptz,
    last_step bigint,
    wrong smallint NOT NULL DEFAULT 0,
    wrong_since timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- They go with the app that they replace.
CREATE TABLE recovery_code (
    subject_id text COLLATE "C" NOT NULL REFERENCES totp (subject_id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (subject_id, code_hash)
);

-- A sign-in whose first factor was right, and that waits for the second.
CREATE TABLE mfa_challenge (
    token_hash bytea PRIMARY KEY,
    program_id text COLLATE "C" REFERENCES program (id),
    subject_id text COLLATE "C" NOT NULL,
    wrong smallint NOT NULL DEFAULT 0 CONSTRAINT mfa_challenge_wrong_is_bounded CHECK (wrong BETWEEN 0 AND 5),
    created_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX mfa_challenge_by_subject ON mfa_challenge (subject_id);
CREATE INDEX mfa_challenge_by_time ON mfa_challenge (created_at);
