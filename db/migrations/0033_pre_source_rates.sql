-- How the sources of programs compare, for fraud rules: counted anew once an hour.

-- Of a source's `total` conversions or clicks `hits` were approved, or converted; the others of its
-- program together.
CREATE TABLE source_rate (
    program_id text NOT NULL COLLATE "C",
    source_id text NOT NULL COLLATE "C",
    measure text NOT NULL COLLATE "C",
    kind text NOT NULL COLLATE "C",
    days integer NOT NULL,
    hits bigint NOT NULL,
    total bigint NOT NULL,
    other_hits bigint NOT NULL,
    other_total bigint NOT NULL,
    counted_at timestamptz NOT NULL,
    CONSTRAINT source_rate_pkey PRIMARY KEY (program_id, source_id, measure, kind, days),
    CONSTRAINT source_rate_measure_is_known CHECK (measure IN ('approvals', 'conversions')),
    CONSTRAINT source_rate_kind_is_known CHECK (kind IN ('network', 'link'))
);
