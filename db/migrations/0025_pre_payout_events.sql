-- What providers of payouts called us with: each call once, as it came, sealed; for a while only.

CREATE TABLE payout_event (
    provider text NOT NULL COLLATE "C",
    event_id text NOT NULL COLLATE "C",
    program_id text COLLATE "C",
    withdrawal_id text COLLATE "C",
    state text COLLATE "C",
    outcome text NOT NULL COLLATE "C",
    body bytea NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT payout_event_pkey PRIMARY KEY (provider, event_id),
    CONSTRAINT payout_event_state_is_known CHECK (
        state IN ('under_way', 'paid', 'failed', 'reversed')),
    CONSTRAINT payout_event_outcome_is_known CHECK (
        outcome IN ('applied', 'nothing_new', 'odd', 'not_ours'))
);
CREATE INDEX payout_event_by_time ON payout_event (received_at);
CREATE INDEX payout_event_of_withdrawal ON payout_event (withdrawal_id)
    WHERE withdrawal_id IS NOT NULL;
