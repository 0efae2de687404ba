-- Consents, and exports and erasures of members, which are jobs.

-- What a member said about one purpose, each time; the latest row counts.
CREATE TABLE consent (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL REFERENCES member (id),
    purpose text COLLATE "C" NOT NULL CONSTRAINT consent_purpose_is_a_word CHECK (purpose ~ '^[a-z][a-z0-9_]{0,63}$'),
    is_given boolean NOT NULL,
    wording text,
    recorded_by text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX consent_by_member ON consent (member_id, purpose, id);

CREATE TABLE member_export (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL REFERENCES member (id),
    state text COLLATE "C" NOT NULL DEFAULT 'queued' CONSTRAINT member_export_state_is_known CHECK (state IN ('queued', 'running', 'done', 'expired', 'canceled')),
    steps_done smallint NOT NULL DEFAULT 0,
    steps smallint NOT NULL,
    size_bytes bigint,
    requested_by text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    expires_at timestamptz
);
CREATE UNIQUE INDEX member_export_is_one_at_a_time ON member_export (member_id) WHERE state IN ('queued', 'running');
CREATE INDEX member_export_by_member ON member_export (member_id, id);
CREATE INDEX member_export_by_program ON member_export (program_id, id);
CREATE INDEX member_export_by_expiry ON member_export (expires_at) WHERE state = 'done';

CREATE TABLE erasure (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL REFERENCES member (id) CONSTRAINT erasure_is_once UNIQUE,
    state text COLLATE "C" NOT NULL DEFAULT 'queued' CONSTRAINT erasure_state_is_known CHECK (state IN ('queued', 'running', 'done')),
    steps_done smallint NOT NULL DEFAULT 0,
    steps smallint NOT NULL,
    requested_by text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX erasure_by_program ON erasure (program_id, id);
CREATE INDEX erasure_by_time ON erasure (finished_at);

CREATE INDEX click_by_member ON click (member_id) WHERE member_id IS NOT NULL;
