-- What providers report about messages, and what members want to hear, when, and where.

ALTER TABLE notification
    ADD COLUMN delivery text COLLATE "C" CONSTRAINT notification_delivery_is_known CHECK (delivery IN ('accepted', 'sent', 'delivered', 'read', 'undelivered', 'bounced', 'complained')),
    ADD COLUMN delivery_detail text,
    ADD COLUMN reported_at timestamptz;
CREATE INDEX notification_by_reference ON notification (provider, provider_reference) WHERE provider_reference IS NOT NULL;

-- Nothing arrives there any more, as a provider has said. Proving the contact anew takes that back.
ALTER TABLE member_contact ADD COLUMN unreachable_at timestamptz;
CREATE INDEX member_contact_by_hash ON member_contact (hash);

-- Where pushes to a member go, sealed (core/fields.py).
CREATE TABLE push_subscription (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL,
    member_id text COLLATE "C" NOT NULL REFERENCES member (id),
    kind text COLLATE "C" NOT NULL CONSTRAINT push_subscription_kind_is_known CHECK (kind IN ('fcm', 'apns', 'webpush')),
    address bytea NOT NULL,
    hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT push_subscription_is_unique UNIQUE (program_id, hash)
);
CREATE INDEX push_subscription_by_member ON push_subscription (member_id, id);

-- What is not wanted by a channel. The topic `all` is what a provider was told: STOP, a complaint.
CREATE TABLE notification_preference (
    member_id text COLLATE "C" NOT NULL REFERENCES member (id),
    program_id text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL CONSTRAINT notification_preference_topic_is_a_word CHECK (topic ~ '^[a-z][a-z_]{0,31}$'),
    channel text COLLATE "C" NOT NULL CONSTRAINT notification_preference_channel_is_known CHECK (channel IN ('email', 'sms', 'push', 'whatsapp')),
    is_wanted boolean NOT NULL,
    said_by text COLLATE "C" NOT NULL CONSTRAINT notification_preference_said_by_is_known CHECK (said_by IN ('member', 'link', 'provider')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (member_id, topic, channel)
);

-- Minutes after midnight in the program's time zone; the end may be on the next day.
CREATE TABLE quiet_hours (
    member_id text COLLATE "C" PRIMARY KEY REFERENCES member (id),
    program_id text COLLATE "C" NOT NULL,
    begins_minute smallint NOT NULL CONSTRAINT quiet_hours_begin_on_a_day CHECK (begins_minute BETWEEN 0 AND 1439),
    ends_minute smallint NOT NULL CONSTRAINT quiet_hours_end_on_a_day CHECK (ends_minute BETWEEN 0 AND 1439),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quiet_hours_last CHECK (begins_minute <> ends_minute)
);
