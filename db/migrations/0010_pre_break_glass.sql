-- Accesses of the platform's staff to a program's data, each with its reason and its end.

CREATE TABLE break_glass (
    id text COLLATE "C" PRIMARY KEY,
    program_id text COLLATE "C" NOT NULL REFERENCES program (id),
    operator_id text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT break_glass_is_short CHECK (expires_at <= created_at + interval '1 hour')
);
