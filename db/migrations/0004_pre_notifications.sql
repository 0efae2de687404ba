-- Messages to members and operators, and the texts that programs put in place of the built-in ones.

-- `address` and `variables` are sealed (core/fields.py). `variables` is null once they are of no
-- more use: a code that was sent is not kept.
CREATE TABLE notification (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" REFERENCES program (id),
    recipient_kind text COLLATE "C" NOT NULL CONSTRAINT notification_recipient_kind_is_known CHECK (recipient_kind IN ('member', 'operator', 'test')),
    recipient_id text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL CONSTRAINT notification_channel_is_known CHECK (channel IN ('email', 'sms', 'push', 'whatsapp')),
    address bytea NOT NULL,
    template text COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    variables bytea,
    dedupe_key text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'queued' CONSTRAINT notification_state_is_known CHECK (state IN ('queued', 'sending', 'sent', 'refused', 'unknown', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    provider text COLLATE "C",
    provider_reference text,
    last_error text,
    next_attempt_at timestamptz,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notification_dedupe_key_is_unique UNIQUE NULLS NOT DISTINCT (program_id, dedupe_key)
);
CREATE INDEX notification_by_program ON notification (program_id, id);
CREATE INDEX notification_by_recipient ON notification (recipient_id);

CREATE TABLE template (
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    name text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL CONSTRAINT template_channel_is_known CHECK (channel IN ('email', 'sms', 'push', 'whatsapp')),
    language text COLLATE "C" NOT NULL,
    subject text NOT NULL DEFAULT '',
    text text NOT NULL,
    html text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (program_id, name, channel, language)
);
