-- What members are told of their money, once for an event, by one channel after the other.

-- `variables` is sealed (core/fields.py). The last channel of `tried` is the one that the notice is
-- at; all its messages have failed before the next one joins.
CREATE TABLE notice (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    template text NOT NULL COLLATE "C",
    language text NOT NULL COLLATE "C",
    variables bytea NOT NULL,
    dedupe_key text NOT NULL COLLATE "C",
    state text NOT NULL DEFAULT 'open' COLLATE "C",
    tried text[] NOT NULL DEFAULT '{}' COLLATE "C",
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notice_pkey PRIMARY KEY (id),
    CONSTRAINT notice_dedupe_key_is_unique UNIQUE (program_id, dedupe_key),
    CONSTRAINT notice_state_is_known CHECK (state IN ('open', 'told', 'unreachable'))
);
CREATE INDEX notice_by_program ON notice (program_id, id);
CREATE INDEX notice_by_member ON notice (member_id, id);
CREATE INDEX notice_unreachable ON notice (program_id, id) WHERE state = 'unreachable';

ALTER TABLE notification ADD COLUMN notice_id text COLLATE "C";
CREATE INDEX notification_by_notice ON notification (notice_id) WHERE notice_id IS NOT NULL;
