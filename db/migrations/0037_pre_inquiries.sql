-- What a network was asked about a claim: once, by its API, by mail, or with the file of claims. As long as nothing
-- says by which way, it is still to be asked.

CREATE TABLE claim_inquiry (
    claim_id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    way text COLLATE "C",
    reference text,
    problem text,
    wanted_at timestamptz NOT NULL,
    asked_at timestamptz,
    CONSTRAINT claim_inquiry_pkey PRIMARY KEY (claim_id),
    CONSTRAINT claim_inquiry_claim_exists FOREIGN KEY (claim_id) REFERENCES claim (id),
    CONSTRAINT claim_inquiry_way_is_known CHECK (way IN ('api', 'mail', 'file'))
);

-- The networks' people get mail, too.
ALTER TABLE notification
    DROP CONSTRAINT notification_recipient_kind_is_known,
    ADD CONSTRAINT notification_recipient_kind_is_known
        CHECK (recipient_kind IN ('member', 'operator', 'test', 'network'));
