-- Money that operators give, take or write off by hand. `amount_minor` is what the member's available
-- balance changes by.

CREATE TABLE adjustment (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    member_id text NOT NULL COLLATE "C",
    kind text NOT NULL COLLATE "C",
    amount_minor bigint NOT NULL,
    currency text NOT NULL COLLATE "C",
    reason text NOT NULL,
    ticket text,
    state text NOT NULL COLLATE "C",
    proposed_by text NOT NULL COLLATE "C",
    decided_by text COLLATE "C",
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    CONSTRAINT adjustment_pkey PRIMARY KEY (id),
    CONSTRAINT adjustment_member_exists FOREIGN KEY (member_id) REFERENCES member (id),
    CONSTRAINT adjustment_kind_is_known CHECK (kind IN ('promotion', 'write_off')),
    CONSTRAINT adjustment_state_is_known CHECK (state IN ('proposed', 'posted', 'dropped')),
    CONSTRAINT adjustment_changes_something CHECK (amount_minor <> 0),
    CONSTRAINT adjustment_write_off_gives CHECK (kind <> 'write_off' OR amount_minor > 0),
    CONSTRAINT adjustment_decision_is_whole CHECK (
        (state = 'proposed') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL))
);
CREATE INDEX adjustment_by_program ON adjustment (program_id, id);
CREATE INDEX adjustment_by_member ON adjustment (member_id, id);
