-- The audit log: who changed what. An entry is written in the transaction of the change; a moment
-- later the sealer gives it its place in the chain of its program ('' is the installation's own),
-- and from then on nothing of it changes. What proves it is in core/chain.py.

CREATE TABLE audit_entry (
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    program_id text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    actor_role text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    object_id text COLLATE "C" NOT NULL,
    -- Not jsonb: the proof is of the text as it was written.
    before json,
    after json,
    address text NOT NULL,
    request_id text NOT NULL,
    key text COLLATE "C" NOT NULL,
    proof bytea NOT NULL,
    position bigint,
    digest bytea,
    is_proven boolean,
    PRIMARY KEY (at, id),
    CONSTRAINT audit_entry_has_its_place_or_not CHECK (num_nulls(position, digest, is_proven) IN (0, 3))
) PARTITION BY RANGE (at);
CREATE INDEX audit_entry_by_program ON audit_entry (program_id, id);
CREATE INDEX audit_entry_by_id ON audit_entry (id);
CREATE INDEX audit_entry_by_object ON audit_entry (object_id, id);
CREATE INDEX audit_entry_by_position ON audit_entry (program_id, position);
CREATE INDEX audit_entry_unsealed ON audit_entry (id) WHERE position IS NULL;

CREATE TABLE audit_chain (
    program_id text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    digest bytea NOT NULL,
    cut_position bigint NOT NULL,
    cut_digest bytea NOT NULL,
    key text COLLATE "C" NOT NULL,
    seal bytea NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_chain_is_cut_behind_its_head CHECK (cut_position BETWEEN 0 AND position)
);

CREATE FUNCTION keep_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.position IS NULL AND NEW.position IS NOT NULL
            AND ROW(OLD.id, OLD.at, OLD.program_id, OLD.actor, OLD.actor_role, OLD.action, OLD.object_id,
                    OLD.before::text, OLD.after::text, OLD.address, OLD.request_id, OLD.key, OLD.proof)
                IS NOT DISTINCT FROM
                ROW(NEW.id, NEW.at, NEW.program_id, NEW.actor, NEW.actor_role, NEW.action, NEW.object_id,
                    NEW.before::text, NEW.after::text, NEW.address, NEW.request_id, NEW.key, NEW.proof)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_entry is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_entry_is_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION keep_audit_entry();
CREATE TRIGGER audit_entry_is_not_truncated BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entry();

-- A month's partition; TRUNCATE has no trigger for each row, which partitions would inherit.
CREATE FUNCTION make_audit_partition(name text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_entry %s', name, bounds);
    EXECUTE format('CREATE TRIGGER audit_entry_is_not_truncated BEFORE TRUNCATE ON %I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entry()', name);
END
$$;
REVOKE EXECUTE ON FUNCTION make_audit_partition(text, text) FROM PUBLIC;

-- Partitions from the month of `first` for `ahead` months, and none that ends before `oldest` and
-- whose entries all lie behind their chain's cut. The app role may call it without owning the tables.
CREATE FUNCTION keep_audit_partitions(first date, ahead integer, oldest date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    m date;
    months date[];
    old record;
    is_needed boolean;
    has_strays boolean := EXISTS (SELECT FROM audit_entry_default);
BEGIN
    SELECT array_agg(date_trunc('month', first) + make_interval(months => n)) INTO months
      FROM generate_series(0, ahead) AS n;
    -- What came when its month was not there yet moves into it.
    IF has_strays THEN
        months := months || ARRAY(SELECT DISTINCT date_trunc('month', at)::date FROM audit_entry_default);
        ALTER TABLE audit_entry DETACH PARTITION audit_entry_default;
        ALTER TABLE audit_entry_default RENAME TO audit_entry_stray;
    END IF;
    FOREACH m IN ARRAY months LOOP
        CONTINUE WHEN to_regclass(format('audit_entry_%s', to_char(m, 'YYYYMM'))) IS NOT NULL;
        PERFORM make_audit_partition(format('audit_entry_%s', to_char(m, 'YYYYMM')),
            format('FOR VALUES FROM (%L) TO (%L)', m, (m + interval '1 month')::date));
    END LOOP;
    IF has_strays THEN
        INSERT INTO audit_entry SELECT * FROM audit_entry_stray;
        DROP TABLE audit_entry_stray;
        PERFORM make_audit_partition('audit_entry_default', 'DEFAULT');
    END IF;

    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'audit_entry'::regclass AND c.relname ~ '^audit_entry_[0-9]{6}$'
           AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' <= oldest
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I AS e LEFT JOIN audit_chain AS c USING (program_id)'
            ' WHERE e.position IS NULL OR c.position IS NULL OR e.position > c.cut_position)', old.relname)
            INTO is_needed;
        CONTINUE WHEN is_needed;
        EXECUTE format('DROP TABLE %I', old.relname);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION keep_audit_partitions(date, integer, date) FROM PUBLIC;

SELECT make_audit_partition('audit_entry_default', 'DEFAULT');
SELECT keep_audit_partitions(current_date, 2, '-infinity');
