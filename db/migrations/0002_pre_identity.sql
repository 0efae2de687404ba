-- People who sign in: members by their contacts, operators by their mail address. What names a
-- person is sealed (core/fields.py) and found by its keyed hash.

CREATE TABLE member_contact (
    member_id text COLLATE "C" NOT NULL REFERENCES member (id),
    program_id text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL CONSTRAINT member_contact_channel_is_known CHECK (channel IN ('email', 'phone')),
    sealed bytea NOT NULL,
    hash bytea NOT NULL,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (member_id, channel),
    CONSTRAINT member_contact_is_unique UNIQUE (program_id, channel, hash)
);

-- Platform staff (admin) belong to no program.
CREATE TABLE operator (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" REFERENCES program (id),
    role text COLLATE "C" NOT NULL CONSTRAINT operator_role_is_known CHECK (role IN ('staff', 'owner', 'admin')),
    email bytea NOT NULL,
    email_hash bytea NOT NULL,
    name bytea NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'active' CONSTRAINT operator_state_is_known CHECK (state IN ('active', 'suspended')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT operator_admin_has_no_program CHECK ((role = 'admin') = (program_id IS NULL)),
    CONSTRAINT operator_email_is_unique UNIQUE (email_hash)
);
CREATE INDEX operator_by_program ON operator (program_id, id);

-- The password of a member or an operator. `password_hash` is argon2id, or bcrypt from an import
-- until its owner signs in.
CREATE TABLE credential (
    subject_id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C",
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX credential_imported ON credential (program_id) WHERE starts_with(password_hash, '$2');

-- One session is one family of refresh tokens: `family_hash` stays, `refresh_hash` is that of the
-- token given out last.
CREATE TABLE session (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C",
    subject_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL CONSTRAINT session_role_is_known CHECK (role IN ('member', 'staff', 'owner', 'admin')),
    has_second_factor boolean NOT NULL,
    family_hash bytea NOT NULL,
    refresh_hash bytea NOT NULL,
    user_agent text NOT NULL,
    address text,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX session_by_subject ON session (subject_id, id) WHERE revoked_at IS NULL;
CREATE INDEX session_by_expiry ON session (expires_at);

-- What is void before it expires: sessions, API keys. Rows leave when all that they void has expired.
CREATE TABLE revocation (
    id text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revocation_by_time ON revocation (revoked_at);

-- The one open invitation of an operator, who chooses a password with it.
CREATE TABLE invitation (
    operator_id text COLLATE "C" PRIMARY KEY REFERENCES operator (id) ON DELETE CASCADE,
    hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT invitation_is_unique UNIQUE (hash)
);

-- A sign-up that waits for the proof that the contact is the applicant's. Only then is it a member:
-- nobody can prepare an account for somebody else's address.
CREATE TABLE registration (
    hash bytea PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    member_id text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL CONSTRAINT registration_channel_is_known CHECK (channel IN ('email', 'phone')),
    contact bytea NOT NULL,
    name bytea,
    password_hash text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX registration_by_expiry ON registration (expires_at);
