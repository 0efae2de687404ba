-- Written by `make schema` from db/migrations; not to be edited.

CREATE FUNCTION public.keep_audit_entry() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.keep_audit_partitions(first date, ahead integer, oldest date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $_$
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
$_$;

CREATE FUNCTION public.keep_click_partitions(first date, ahead integer, retention integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    d date;
    old record;
BEGIN
    FOR d IN SELECT generate_series(first, first + ahead, '1 day')::date LOOP
        CONTINUE WHEN to_regclass(format('click_%s', to_char(d, 'YYYYMMDD'))) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM click_default WHERE day = d);
        EXECUTE format('CREATE TABLE click_%s PARTITION OF click FOR VALUES FROM (%L) TO (%L)',
            to_char(d, 'YYYYMMDD'), d, d + 1);
    END LOOP;
    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'click'::regclass AND c.relname ~ '^click_[0-9]{8}$'
           AND to_date(right(c.relname, 8), 'YYYYMMDD') < first - retention
    LOOP
        EXECUTE format('DROP TABLE %I', old.relname);
    END LOOP;
    DELETE FROM click_default WHERE day < first - retention;
END
$_$;

CREATE FUNCTION public.make_audit_partition(name text, bounds text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_entry %s', name, bounds);
    EXECUTE format('CREATE TRIGGER audit_entry_is_not_truncated BEFORE TRUNCATE ON %I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entry()', name);
END
$$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused, post a reversal', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TABLE public.account (
    id bigint NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    member_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    unit text NOT NULL COLLATE pg_catalog."C",
    partition smallint NOT NULL,
    balance bigint DEFAULT 0 NOT NULL
);

ALTER TABLE public.account ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.address_salt (
    day date NOT NULL,
    salt bytea NOT NULL
);

CREATE TABLE public.adjustment (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    amount_minor bigint NOT NULL,
    currency text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    ticket text,
    state text NOT NULL COLLATE pg_catalog."C",
    proposed_by text NOT NULL COLLATE pg_catalog."C",
    decided_by text COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    CONSTRAINT adjustment_changes_something CHECK ((amount_minor <> 0)),
    CONSTRAINT adjustment_decision_is_whole CHECK ((((state = 'proposed'::text) = (decided_by IS NULL)) AND ((decided_by IS NULL) = (decided_at IS NULL)))),
    CONSTRAINT adjustment_kind_is_known CHECK ((kind = ANY (ARRAY['promotion'::text, 'write_off'::text]))),
    CONSTRAINT adjustment_state_is_known CHECK ((state = ANY (ARRAY['proposed'::text, 'posted'::text, 'dropped'::text]))),
    CONSTRAINT adjustment_write_off_gives CHECK (((kind <> 'write_off'::text) OR (amount_minor > 0)))
);

CREATE TABLE public.api_key (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    prefix text NOT NULL COLLATE pg_catalog."C",
    hash bytea NOT NULL,
    previous_prefix text COLLATE pg_catalog."C",
    previous_hash bytea,
    previous_until timestamp with time zone,
    scopes text[] NOT NULL,
    rate_per_minute integer,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_key_has_scopes CHECK ((cardinality(scopes) > 0)),
    CONSTRAINT api_key_hash_is_sha256 CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_key_previous_hash_is_sha256 CHECK ((octet_length(previous_hash) = 32)),
    CONSTRAINT api_key_previous_is_whole CHECK ((num_nonnulls(previous_prefix, previous_hash, previous_until) = ANY (ARRAY[0, 3]))),
    CONSTRAINT api_key_rate_is_not_negative CHECK ((rate_per_minute >= 0))
);

CREATE TABLE public.api_key_usage (
    key_id text NOT NULL COLLATE pg_catalog."C",
    day date NOT NULL,
    requests bigint NOT NULL
);

CREATE TABLE public.audit_chain (
    program_id text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    digest bytea NOT NULL,
    cut_position bigint NOT NULL,
    cut_digest bytea NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    seal bytea NOT NULL,
    sealed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT audit_chain_is_cut_behind_its_head CHECK (((cut_position >= 0) AND (cut_position <= "position")))
);

CREATE TABLE public.audit_entry (
    id text NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    actor text NOT NULL COLLATE pg_catalog."C",
    actor_role text NOT NULL COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    object_id text NOT NULL COLLATE pg_catalog."C",
    before json,
    after json,
    address text NOT NULL,
    request_id text NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    proof bytea NOT NULL,
    "position" bigint,
    digest bytea,
    is_proven boolean,
    CONSTRAINT audit_entry_has_its_place_or_not CHECK ((num_nulls("position", digest, is_proven) = ANY (ARRAY[0, 3])))
)
PARTITION BY RANGE (at);

CREATE TABLE public.audit_entry_default (
    id text CONSTRAINT audit_entry_id_not_null NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone CONSTRAINT audit_entry_at_not_null NOT NULL,
    program_id text CONSTRAINT audit_entry_program_id_not_null NOT NULL COLLATE pg_catalog."C",
    actor text CONSTRAINT audit_entry_actor_not_null NOT NULL COLLATE pg_catalog."C",
    actor_role text CONSTRAINT audit_entry_actor_role_not_null NOT NULL COLLATE pg_catalog."C",
    action text CONSTRAINT audit_entry_action_not_null NOT NULL COLLATE pg_catalog."C",
    object_id text CONSTRAINT audit_entry_object_id_not_null NOT NULL COLLATE pg_catalog."C",
    before json,
    after json,
    address text CONSTRAINT audit_entry_address_not_null NOT NULL,
    request_id text CONSTRAINT audit_entry_request_id_not_null NOT NULL,
    key text CONSTRAINT audit_entry_key_not_null NOT NULL COLLATE pg_catalog."C",
    proof bytea CONSTRAINT audit_entry_proof_not_null NOT NULL,
    "position" bigint,
    digest bytea,
    is_proven boolean,
    CONSTRAINT audit_entry_has_its_place_or_not CHECK ((num_nulls("position", digest, is_proven) = ANY (ARRAY[0, 3])))
);

CREATE TABLE public.award_partition (
    partition smallint NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    sequence bigint DEFAULT 0 NOT NULL,
    rebuilt_at timestamp with time zone
);

CREATE TABLE public.break_glass (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    operator_id text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT break_glass_is_short CHECK ((expires_at <= (created_at + '01:00:00'::interval)))
);

CREATE TABLE public.budget (
    program_id text NOT NULL COLLATE pg_catalog."C",
    unit text NOT NULL COLLATE pg_catalog."C",
    total bigint NOT NULL,
    leased bigint DEFAULT 0 NOT NULL,
    CONSTRAINT budget_is_not_negative CHECK ((total >= 0))
);

CREATE TABLE public.budget_lease (
    program_id text NOT NULL COLLATE pg_catalog."C",
    unit text NOT NULL COLLATE pg_catalog."C",
    partition smallint NOT NULL,
    leased bigint NOT NULL
);

CREATE TABLE public.category (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    parent_id text COLLATE pg_catalog."C",
    slug text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    "position" integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT category_is_not_its_own_parent CHECK ((parent_id <> id))
);

CREATE TABLE public.claim (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    click_id text COLLATE pg_catalog."C",
    clicked_at timestamp with time zone,
    offer_id text COLLATE pg_catalog."C",
    merchant_id text COLLATE pg_catalog."C",
    network_id text COLLATE pg_catalog."C",
    order_id text NOT NULL COLLATE pg_catalog."C",
    order_minor bigint NOT NULL,
    order_currency text NOT NULL COLLATE pg_catalog."C",
    ordered_at timestamp with time zone NOT NULL,
    proposal text NOT NULL COLLATE pg_catalog."C",
    reasons text[] NOT NULL,
    facts jsonb NOT NULL,
    currency text NOT NULL COLLATE pg_catalog."C",
    estimate_minor bigint,
    credit_minor bigint,
    credited_to text COLLATE pg_catalog."C",
    decision text COLLATE pg_catalog."C",
    decided_by text COLLATE pg_catalog."C",
    decided_at timestamp with time zone,
    first_accepted_by text COLLATE pg_catalog."C",
    accepted_by text COLLATE pg_catalog."C",
    reason text,
    conversion_id text COLLATE pg_catalog."C",
    language text NOT NULL COLLATE pg_catalog."C",
    opened_by text NOT NULL COLLATE pg_catalog."C",
    opened_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT claim_accepted_has_a_credit CHECK (((state <> 'accepted'::text) OR ((credit_minor IS NOT NULL) AND (credited_to IS NOT NULL)))),
    CONSTRAINT claim_amounts_are_positive CHECK (((order_minor > 0) AND (estimate_minor >= 0) AND (credit_minor > 0))),
    CONSTRAINT claim_credit_goes_somewhere CHECK ((credited_to = ANY (ARRAY['pending'::text, 'available'::text]))),
    CONSTRAINT claim_decision_is_known CHECK ((decision = ANY (ARRAY['accept'::text, 'send_to_network'::text, 'reject'::text]))),
    CONSTRAINT claim_decision_is_whole CHECK ((((decision IS NULL) = (decided_by IS NULL)) AND ((decision IS NULL) = (decided_at IS NULL)))),
    CONSTRAINT claim_has_two_acceptors CHECK ((first_accepted_by <> accepted_by)),
    CONSTRAINT claim_proposal_is_known CHECK ((proposal = ANY (ARRAY['accept'::text, 'send_to_network'::text, 'reject'::text]))),
    CONSTRAINT claim_state_is_known CHECK ((state = ANY (ARRAY['opened'::text, 'sent'::text, 'accepted'::text, 'rejected'::text, 'settled'::text, 'declined'::text])))
);

CREATE TABLE public.claim_evidence (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    claim_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    content bytea NOT NULL,
    added_by text NOT NULL COLLATE pg_catalog."C",
    added_at timestamp with time zone NOT NULL
);

CREATE TABLE public.claim_inquiry (
    claim_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    way text COLLATE pg_catalog."C",
    reference text,
    problem text,
    wanted_at timestamp with time zone NOT NULL,
    asked_at timestamp with time zone,
    CONSTRAINT claim_inquiry_way_is_known CHECK ((way = ANY (ARRAY['api'::text, 'mail'::text, 'file'::text])))
);

CREATE TABLE public.claim_policy (
    program_id text NOT NULL COLLATE pg_catalog."C",
    policy jsonb NOT NULL,
    updated_by text NOT NULL COLLATE pg_catalog."C",
    updated_at timestamp with time zone NOT NULL
);

CREATE TABLE public.click (
    day date NOT NULL,
    click_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    link_id text NOT NULL COLLATE pg_catalog."C",
    clicked_at timestamp with time zone NOT NULL,
    class smallint NOT NULL,
    reasons text[] NOT NULL,
    address_hash bytea,
    country text,
    device text NOT NULL,
    system text NOT NULL,
    browser text NOT NULL,
    user_agent text,
    referrer text,
    privacy_signal boolean NOT NULL,
    member_id text COLLATE pg_catalog."C",
    variant text,
    parameters jsonb,
    networks text[]
)
PARTITION BY RANGE (day);

CREATE TABLE public.click_boot (
    boot integer NOT NULL,
    highest bigint NOT NULL,
    stored bigint NOT NULL,
    last_click_at timestamp with time zone NOT NULL
);

CREATE TABLE public.click_daily (
    link_id text NOT NULL COLLATE pg_catalog."C",
    day date NOT NULL,
    class smallint NOT NULL,
    device text NOT NULL,
    country text NOT NULL,
    variant text NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    clicks bigint NOT NULL
);

CREATE TABLE public.click_default (
    day date CONSTRAINT click_day_not_null NOT NULL,
    click_id text CONSTRAINT click_click_id_not_null NOT NULL COLLATE pg_catalog."C",
    program_id text CONSTRAINT click_program_id_not_null NOT NULL COLLATE pg_catalog."C",
    link_id text CONSTRAINT click_link_id_not_null NOT NULL COLLATE pg_catalog."C",
    clicked_at timestamp with time zone CONSTRAINT click_clicked_at_not_null NOT NULL,
    class smallint CONSTRAINT click_class_not_null NOT NULL,
    reasons text[] CONSTRAINT click_reasons_not_null NOT NULL,
    address_hash bytea,
    country text,
    device text CONSTRAINT click_device_not_null NOT NULL,
    system text CONSTRAINT click_system_not_null NOT NULL,
    browser text CONSTRAINT click_browser_not_null NOT NULL,
    user_agent text,
    referrer text,
    privacy_signal boolean CONSTRAINT click_privacy_signal_not_null NOT NULL,
    member_id text COLLATE pg_catalog."C",
    variant text,
    parameters jsonb,
    networks text[]
);

CREATE TABLE public.consent (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    is_given boolean NOT NULL,
    wording text,
    recorded_by text NOT NULL COLLATE pg_catalog."C",
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT consent_purpose_is_a_word CHECK ((purpose ~ '^[a-z][a-z0-9_]{0,63}$'::text))
);

CREATE TABLE public.conversion (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    network_id text NOT NULL COLLATE pg_catalog."C",
    txn_id text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    parked text COLLATE pg_catalog."C",
    review text COLLATE pg_catalog."C",
    status_word text NOT NULL,
    order_id text,
    sale_minor bigint,
    sale_currency text COLLATE pg_catalog."C",
    commission_minor bigint NOT NULL,
    corrected_minor bigint NOT NULL,
    counted text[] NOT NULL,
    currency text COLLATE pg_catalog."C",
    event_at timestamp with time zone,
    reported_at timestamp with time zone,
    click_id text COLLATE pg_catalog."C",
    link_id text COLLATE pg_catalog."C",
    offer_id text COLLATE pg_catalog."C",
    merchant_id text COLLATE pg_catalog."C",
    member_id text COLLATE pg_catalog."C",
    attribution text NOT NULL COLLATE pg_catalog."C",
    reasons text[] NOT NULL,
    booked_currency text COLLATE pg_catalog."C",
    booked_commission_minor bigint NOT NULL,
    booked_cashback_minor bigint NOT NULL,
    rate text,
    next_try_at timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    approved_at timestamp with time zone,
    settled_at timestamp with time zone,
    reversed_at timestamp with time zone,
    hints jsonb DEFAULT '{}'::jsonb NOT NULL,
    terms jsonb,
    rates jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT conversion_books_part_of_the_commission CHECK (((booked_cashback_minor >= 0) AND (booked_cashback_minor <= booked_commission_minor))),
    CONSTRAINT conversion_parked_is_known CHECK ((parked = ANY (ARRAY['awaiting_click'::text, 'currency_unknown'::text, 'amount_implausible'::text, 'unattributed'::text]))),
    CONSTRAINT conversion_review_is_known CHECK ((review = ANY (ARRAY['held'::text, 'released'::text, 'rejected'::text]))),
    CONSTRAINT conversion_state_is_known CHECK ((state = ANY (ARRAY['pending'::text, 'approved'::text, 'settled'::text, 'rejected'::text, 'reversed'::text])))
);

CREATE TABLE public.credential (
    subject_id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    password_hash text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.dead_letter (
    id bigint NOT NULL,
    task text NOT NULL COLLATE pg_catalog."C",
    payload jsonb NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    replayed_at timestamp with time zone
);

ALTER TABLE public.dead_letter ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.erasure (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    state text DEFAULT 'queued'::text NOT NULL COLLATE pg_catalog."C",
    steps_done smallint DEFAULT 0 NOT NULL,
    steps smallint NOT NULL,
    requested_by text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT erasure_state_is_known CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text])))
);

CREATE TABLE public.exchange_rate (
    program_id text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL COLLATE pg_catalog."C",
    valid_from timestamp with time zone NOT NULL,
    rate numeric NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT exchange_rate_is_between_two CHECK ((source <> target)),
    CONSTRAINT exchange_rate_is_positive CHECK ((rate > (0)::numeric))
);

CREATE TABLE public.fraud_case (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    conversion_id text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    currency text COLLATE pg_catalog."C",
    cashback_minor bigint NOT NULL,
    decided_by text COLLATE pg_catalog."C",
    reason text,
    opened_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    CONSTRAINT fraud_case_decision_is_whole CHECK ((((state = 'open'::text) = (decided_by IS NULL)) AND ((decided_by IS NULL) = (decided_at IS NULL)))),
    CONSTRAINT fraud_case_state_is_known CHECK ((state = ANY (ARRAY['open'::text, 'released'::text, 'rejected'::text])))
);

CREATE TABLE public.fraud_hit (
    conversion_id text NOT NULL COLLATE pg_catalog."C",
    rule_id text NOT NULL COLLATE pg_catalog."C",
    rule_version integer NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    case_id text COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    is_shadow boolean NOT NULL,
    reason text NOT NULL,
    hit_at timestamp with time zone NOT NULL,
    withdrawn_at timestamp with time zone,
    CONSTRAINT fraud_hit_action_is_known CHECK ((action = ANY (ARRAY['flag'::text, 'hold'::text, 'reject'::text]))),
    CONSTRAINT fraud_hit_in_shadow_opens_no_case CHECK ((is_shadow = (case_id IS NULL)))
);

CREATE TABLE public.fraud_list (
    program_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    entries integer NOT NULL,
    updated_by text NOT NULL COLLATE pg_catalog."C",
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT fraud_list_kind_is_known CHECK ((kind = ANY (ARRAY['networks'::text, 'mail_domains'::text])))
);

CREATE TABLE public.fraud_rule (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone
);

CREATE TABLE public.fraud_rule_version (
    rule_id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    condition jsonb NOT NULL,
    action text NOT NULL COLLATE pg_catalog."C",
    is_shadow boolean NOT NULL,
    changed_by text NOT NULL COLLATE pg_catalog."C",
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT fraud_rule_version_action_is_known CHECK ((action = ANY (ARRAY['flag'::text, 'hold'::text, 'reject'::text])))
);

CREATE TABLE public.hold (
    partition smallint NOT NULL,
    generation integer NOT NULL,
    sequence bigint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    unit text NOT NULL COLLATE pg_catalog."C",
    amount bigint NOT NULL,
    captured bigint DEFAULT 0 NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    expires_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT hold_state_is_known CHECK ((state = ANY (ARRAY['open'::text, 'captured'::text, 'released'::text, 'expired'::text])))
);

CREATE TABLE public.idempotency (
    program_id text NOT NULL COLLATE pg_catalog."C",
    caller text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    route text NOT NULL COLLATE pg_catalog."C",
    body_hash bytea NOT NULL,
    status smallint,
    answer bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.identity (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    provider text NOT NULL COLLATE pg_catalog."C",
    subject bytea NOT NULL,
    subject_hash bytea NOT NULL,
    mail bytea,
    refresh_token bytea,
    refreshing_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT identity_provider_is_a_word CHECK ((provider ~ '^[a-z]{1,32}$'::text))
);

CREATE TABLE public.installation (
    singleton boolean DEFAULT true NOT NULL,
    award_partitions smallint NOT NULL,
    click_partitions smallint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    is_sealing boolean DEFAULT false NOT NULL,
    CONSTRAINT award_partitions_fit CHECK (((award_partitions >= 1) AND (award_partitions <= 256))),
    CONSTRAINT click_partitions_fit CHECK (((click_partitions >= 1) AND (click_partitions <= 64))),
    CONSTRAINT installation_is_single CHECK (singleton)
);

CREATE TABLE public.invitation (
    operator_id text NOT NULL COLLATE pg_catalog."C",
    hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.kyc (
    member_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    document bytea NOT NULL,
    document_hash bytea NOT NULL,
    version integer NOT NULL,
    reason text,
    submitted_at timestamp with time zone NOT NULL,
    reviewed_by text COLLATE pg_catalog."C",
    reviewed_at timestamp with time zone,
    CONSTRAINT kyc_rejection_has_a_reason CHECK (((state = 'rejected'::text) = (reason IS NOT NULL))),
    CONSTRAINT kyc_review_is_whole CHECK ((((state = 'submitted'::text) = (reviewed_by IS NULL)) AND ((reviewed_by IS NULL) = (reviewed_at IS NULL)))),
    CONSTRAINT kyc_state_is_known CHECK ((state = ANY (ARRAY['submitted'::text, 'verified'::text, 'rejected'::text])))
);

CREATE TABLE public.posting (
    partition smallint NOT NULL,
    generation integer NOT NULL,
    sequence bigint NOT NULL,
    ordinal smallint NOT NULL,
    source_id bigint NOT NULL,
    destination_id bigint NOT NULL,
    unit text NOT NULL COLLATE pg_catalog."C",
    amount bigint NOT NULL,
    CONSTRAINT posting_moves_between_accounts CHECK ((source_id <> destination_id)),
    CONSTRAINT posting_moves_something CHECK ((amount > 0))
);

CREATE VIEW public.ledger_entry AS
 SELECT posting.partition,
    posting.generation,
    posting.sequence,
    posting.ordinal,
    posting.source_id AS account_id,
    posting.unit,
    (- posting.amount) AS amount
   FROM public.posting
UNION ALL
 SELECT posting.partition,
    posting.generation,
    posting.sequence,
    posting.ordinal,
    posting.destination_id AS account_id,
    posting.unit,
    posting.amount
   FROM public.posting;

CREATE TABLE public.ledger_transaction (
    partition smallint NOT NULL,
    generation integer NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    unit text NOT NULL COLLATE pg_catalog."C",
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    remainder bigint NOT NULL,
    caller text NOT NULL COLLATE pg_catalog."C",
    idempotency_key text NOT NULL COLLATE pg_catalog."C",
    body_hash bytea NOT NULL,
    related text COLLATE pg_catalog."C",
    reason text,
    reference text,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone
);

CREATE SEQUENCE public.link_version
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.link (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    slug text NOT NULL COLLATE pg_catalog."C",
    external_id text,
    config jsonb NOT NULL,
    password_hash text,
    version bigint DEFAULT nextval('public.link_version'::regclass) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.listed_domain (
    program_id text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    label text NOT NULL
);

CREATE TABLE public.listed_network (
    program_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    network cidr NOT NULL,
    label text NOT NULL
);

CREATE TABLE public.member (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    external_id text,
    name text,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    profile bytea,
    erased_at timestamp with time zone,
    banned_at timestamp with time zone
);

CREATE TABLE public.member_contact (
    member_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL COLLATE pg_catalog."C",
    sealed bytea NOT NULL,
    hash bytea NOT NULL,
    verified_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    unreachable_at timestamp with time zone,
    CONSTRAINT member_contact_channel_is_known CHECK ((channel = ANY (ARRAY['email'::text, 'phone'::text])))
);

CREATE TABLE public.member_export (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    state text DEFAULT 'queued'::text NOT NULL COLLATE pg_catalog."C",
    steps_done smallint DEFAULT 0 NOT NULL,
    steps smallint NOT NULL,
    size_bytes bigint,
    requested_by text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    expires_at timestamp with time zone,
    language text DEFAULT 'en'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT member_export_state_is_known CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'expired'::text, 'canceled'::text])))
);

CREATE TABLE public.merchant (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    external_id text,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    state text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    hosts text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    logo_url text,
    category_ids text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    approval_days integer,
    descriptions jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT merchant_approval_takes_time CHECK ((approval_days >= 0)),
    CONSTRAINT merchant_state_is_known CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text])))
);

CREATE TABLE public.mfa_challenge (
    token_hash bytea NOT NULL,
    program_id text COLLATE pg_catalog."C",
    subject_id text NOT NULL COLLATE pg_catalog."C",
    wrong smallint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT mfa_challenge_wrong_is_bounded CHECK (((wrong >= 0) AND (wrong <= 5)))
);

CREATE TABLE public.money_account (
    id bigint NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    currency text NOT NULL COLLATE pg_catalog."C",
    member_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    network_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    balance_minor bigint DEFAULT 0 NOT NULL,
    CONSTRAINT money_account_covers_what_waits CHECK (((balance_minor >= 0) OR (role <> ALL (ARRAY['pending'::text, 'review'::text, 'held'::text, 'paid_out'::text])))),
    CONSTRAINT money_account_member_is_named CHECK (((member_id <> ''::text) = (role = ANY (ARRAY['pending'::text, 'review'::text, 'available'::text, 'held'::text])))),
    CONSTRAINT money_account_network_is_named CHECK (((network_id <> ''::text) = (role = 'receivable'::text))),
    CONSTRAINT money_account_role_is_known CHECK ((role = ANY (ARRAY['receivable'::text, 'settled'::text, 'promotion'::text, 'claims_float'::text, 'referral'::text, 'expected'::text, 'margin'::text, 'pending'::text, 'review'::text, 'available'::text, 'held'::text, 'paid_out'::text, 'bad_debt'::text])))
);

ALTER TABLE public.money_account ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.money_account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.money_posting (
    transaction_id text NOT NULL COLLATE pg_catalog."C",
    ordinal smallint NOT NULL,
    source_id bigint NOT NULL,
    destination_id bigint NOT NULL,
    amount_minor bigint NOT NULL,
    source_minor bigint NOT NULL,
    destination_minor bigint NOT NULL,
    CONSTRAINT money_posting_moves_between_accounts CHECK ((source_id <> destination_id)),
    CONSTRAINT money_posting_moves_something CHECK ((amount_minor > 0))
);

CREATE VIEW public.money_entry AS
 SELECT money_posting.transaction_id,
    money_posting.ordinal,
    money_posting.source_id AS account_id,
    (- money_posting.amount_minor) AS amount_minor,
    money_posting.source_minor AS balance_minor
   FROM public.money_posting
UNION ALL
 SELECT money_posting.transaction_id,
    money_posting.ordinal,
    money_posting.destination_id AS account_id,
    money_posting.amount_minor,
    money_posting.destination_minor AS balance_minor
   FROM public.money_posting;

CREATE TABLE public.money_transaction (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    step integer NOT NULL,
    member_id text COLLATE pg_catalog."C",
    reason text,
    recorded_by text NOT NULL COLLATE pg_catalog."C",
    recorded_at timestamp with time zone NOT NULL
);

CREATE TABLE public.network (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    provider text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    state text DEFAULT 'enabled'::text NOT NULL COLLATE pg_catalog."C",
    config jsonb NOT NULL,
    rules jsonb NOT NULL,
    credentials bytea,
    token_hash bytea NOT NULL,
    previous_token_hash bytea,
    previous_token_until timestamp with time zone,
    sync_from timestamp with time zone,
    sync_to timestamp with time zone,
    sync_cursor text,
    synced_until timestamp with time zone,
    last_synced_at timestamp with time zone,
    next_sync_at timestamp with time zone DEFAULT now() NOT NULL,
    sync_failures integer DEFAULT 0 NOT NULL,
    last_error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT network_previous_token_ends CHECK (((previous_token_hash IS NULL) = (previous_token_until IS NULL))),
    CONSTRAINT network_state_is_known CHECK ((state = ANY (ARRAY['enabled'::text, 'disabled'::text]))),
    CONSTRAINT network_window_is_whole CHECK (((sync_from IS NULL) = (sync_to IS NULL)))
);

CREATE TABLE public.notice (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    template text NOT NULL COLLATE pg_catalog."C",
    language text NOT NULL COLLATE pg_catalog."C",
    variables bytea NOT NULL,
    dedupe_key text NOT NULL COLLATE pg_catalog."C",
    state text DEFAULT 'open'::text NOT NULL COLLATE pg_catalog."C",
    tried text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notice_state_is_known CHECK ((state = ANY (ARRAY['open'::text, 'told'::text, 'unreachable'::text])))
);

CREATE TABLE public.notification (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    recipient_kind text NOT NULL COLLATE pg_catalog."C",
    recipient_id text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL COLLATE pg_catalog."C",
    address bytea NOT NULL,
    template text NOT NULL COLLATE pg_catalog."C",
    language text NOT NULL COLLATE pg_catalog."C",
    variables bytea,
    dedupe_key text NOT NULL COLLATE pg_catalog."C",
    state text DEFAULT 'queued'::text NOT NULL COLLATE pg_catalog."C",
    attempts integer DEFAULT 0 NOT NULL,
    provider text COLLATE pg_catalog."C",
    provider_reference text,
    last_error text,
    next_attempt_at timestamp with time zone,
    expires_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    delivery text COLLATE pg_catalog."C",
    delivery_detail text,
    reported_at timestamp with time zone,
    notice_id text COLLATE pg_catalog."C",
    CONSTRAINT notification_channel_is_known CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text, 'push'::text, 'whatsapp'::text]))),
    CONSTRAINT notification_delivery_is_known CHECK ((delivery = ANY (ARRAY['accepted'::text, 'sent'::text, 'delivered'::text, 'read'::text, 'undelivered'::text, 'bounced'::text, 'complained'::text]))),
    CONSTRAINT notification_recipient_kind_is_known CHECK ((recipient_kind = ANY (ARRAY['member'::text, 'operator'::text, 'test'::text, 'network'::text]))),
    CONSTRAINT notification_state_is_known CHECK ((state = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'refused'::text, 'unknown'::text, 'failed'::text])))
);

CREATE TABLE public.notification_preference (
    member_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    topic text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL COLLATE pg_catalog."C",
    is_wanted boolean NOT NULL,
    said_by text NOT NULL COLLATE pg_catalog."C",
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notification_preference_channel_is_known CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text, 'push'::text, 'whatsapp'::text]))),
    CONSTRAINT notification_preference_said_by_is_known CHECK ((said_by = ANY (ARRAY['member'::text, 'link'::text, 'provider'::text]))),
    CONSTRAINT notification_preference_topic_is_a_word CHECK ((topic ~ '^[a-z][a-z_]{0,31}$'::text))
);

CREATE TABLE public.offer (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    merchant_id text NOT NULL COLLATE pg_catalog."C",
    link_id text NOT NULL COLLATE pg_catalog."C",
    external_id text COLLATE pg_catalog."C",
    network_id text COLLATE pg_catalog."C",
    title text NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    coupon_code text,
    category_ids text[] NOT NULL COLLATE pg_catalog."C",
    is_hot boolean NOT NULL,
    rank integer NOT NULL,
    starts_at timestamp with time zone,
    ends_at timestamp with time zone,
    config jsonb NOT NULL,
    search tsvector NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT offer_coupon_has_a_code CHECK (((kind <> 'coupon'::text) OR (coupon_code IS NOT NULL))),
    CONSTRAINT offer_ends_after_it_starts CHECK ((starts_at < ends_at)),
    CONSTRAINT offer_kind_is_known CHECK ((kind = ANY (ARRAY['cashback'::text, 'coupon'::text, 'deal'::text]))),
    CONSTRAINT offer_state_is_known CHECK ((state = ANY (ARRAY['draft'::text, 'active'::text, 'paused'::text, 'ended'::text])))
);

CREATE TABLE public.one_time_code (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL COLLATE pg_catalog."C",
    language text NOT NULL COLLATE pg_catalog."C",
    contact bytea,
    contact_hash bytea NOT NULL,
    block_hash bytea,
    source_hash bytea,
    subject_id text COLLATE pg_catalog."C",
    code_hash bytea,
    wrong smallint DEFAULT 0 NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT one_time_code_channel_is_known CHECK ((channel = ANY (ARRAY['email'::text, 'phone'::text]))),
    CONSTRAINT one_time_code_purpose_is_known CHECK ((purpose = ANY (ARRAY['sign_in'::text, 'verify'::text, 'reset'::text, 'register'::text]))),
    CONSTRAINT one_time_code_wrong_is_bounded CHECK (((wrong >= 0) AND (wrong <= 5)))
);

CREATE TABLE public.operator (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    email bytea NOT NULL,
    email_hash bytea NOT NULL,
    name bytea NOT NULL,
    state text DEFAULT 'active'::text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    language text DEFAULT 'en'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT operator_admin_has_no_program CHECK (((role = 'admin'::text) = (program_id IS NULL))),
    CONSTRAINT operator_role_is_known CHECK ((role = ANY (ARRAY['staff'::text, 'owner'::text, 'admin'::text]))),
    CONSTRAINT operator_state_is_known CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text])))
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    task text NOT NULL COLLATE pg_catalog."C",
    payload jsonb NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.payout_event (
    provider text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    withdrawal_id text COLLATE pg_catalog."C",
    state text COLLATE pg_catalog."C",
    outcome text NOT NULL COLLATE pg_catalog."C",
    body bytea NOT NULL,
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT payout_event_outcome_is_known CHECK ((outcome = ANY (ARRAY['applied'::text, 'nothing_new'::text, 'odd'::text, 'not_ours'::text]))),
    CONSTRAINT payout_event_state_is_known CHECK ((state = ANY (ARRAY['under_way'::text, 'paid'::text, 'failed'::text, 'reversed'::text])))
);

CREATE TABLE public.payout_method (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    details bytea NOT NULL,
    details_hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT payout_method_kind_is_known CHECK ((kind = ANY (ARRAY['upi'::text, 'bank'::text])))
);

CREATE TABLE public.postback (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    network_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL,
    method text NOT NULL COLLATE pg_catalog."C",
    query text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    verdict text COLLATE pg_catalog."C",
    detail text,
    conversion_id text COLLATE pg_catalog."C",
    processed_at timestamp with time zone,
    CONSTRAINT postback_verdict_is_whole CHECK (((verdict IS NULL) = (processed_at IS NULL)))
);

CREATE TABLE public.program (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    currency text NOT NULL,
    time_zone text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT program_currency_is_iso CHECK ((currency ~ '^[A-Z]{3}$'::text))
);

CREATE TABLE public.push_subscription (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    address bytea NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT push_subscription_kind_is_known CHECK ((kind = ANY (ARRAY['fcm'::text, 'apns'::text, 'webpush'::text])))
);

CREATE TABLE public.quarantine (
    id bigint NOT NULL,
    stream text NOT NULL COLLATE pg_catalog."C",
    entry_id text NOT NULL COLLATE pg_catalog."C",
    "position" integer NOT NULL,
    payload bytea NOT NULL,
    error text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.quarantine ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.quiet_hours (
    member_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    begins_minute smallint NOT NULL,
    ends_minute smallint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT quiet_hours_begin_on_a_day CHECK (((begins_minute >= 0) AND (begins_minute <= 1439))),
    CONSTRAINT quiet_hours_end_on_a_day CHECK (((ends_minute >= 0) AND (ends_minute <= 1439))),
    CONSTRAINT quiet_hours_last CHECK ((begins_minute <> ends_minute))
);

CREATE TABLE public.reclassification (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    rule_id text COLLATE pg_catalog."C",
    rule_version integer,
    condition jsonb NOT NULL,
    action text NOT NULL COLLATE pg_catalog."C",
    since timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    is_dry_run boolean NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    network_id text COLLATE pg_catalog."C",
    conversion_id text NOT NULL COLLATE pg_catalog."C",
    looked_at integer NOT NULL,
    flagged integer NOT NULL,
    held integer NOT NULL,
    rejected integer NOT NULL,
    released integer NOT NULL,
    difference jsonb NOT NULL,
    requested_by text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT reclassification_action_is_known CHECK ((action = ANY (ARRAY['flag'::text, 'hold'::text, 'reject'::text]))),
    CONSTRAINT reclassification_ends_when_it_is_done CHECK (((state = 'done'::text) = (finished_at IS NOT NULL))),
    CONSTRAINT reclassification_looks_at_a_span CHECK ((since < until)),
    CONSTRAINT reclassification_rule_is_whole CHECK (((rule_id IS NULL) = (rule_version IS NULL))),
    CONSTRAINT reclassification_state_is_known CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text]))),
    CONSTRAINT reclassification_without_a_rule_is_dry CHECK ((is_dry_run OR (rule_id IS NOT NULL)))
);

CREATE TABLE public.recovery_code (
    subject_id text NOT NULL COLLATE pg_catalog."C",
    code_hash bytea NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.referral (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    referrer_id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    reason text COLLATE pg_catalog."C",
    currency text NOT NULL COLLATE pg_catalog."C",
    referrer_minor bigint NOT NULL,
    referee_minor bigint NOT NULL,
    minimum_commission_minor bigint NOT NULL,
    minimum_sale_minor bigint NOT NULL,
    qualifies_until timestamp with time zone NOT NULL,
    conversion_id text COLLATE pg_catalog."C",
    claimed_at timestamp with time zone NOT NULL,
    qualified_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT referral_is_between_two CHECK ((member_id <> referrer_id)),
    CONSTRAINT referral_reason_is_known CHECK ((reason = ANY (ARRAY['closed'::text, 'budget_exhausted'::text, 'referrer_cap'::text, 'referrer_gone'::text, 'member_gone'::text, 'same_person'::text]))),
    CONSTRAINT referral_refusal_has_a_reason CHECK (((state = 'refused'::text) = (reason IS NOT NULL))),
    CONSTRAINT referral_rewards_are_not_negative CHECK (((referrer_minor >= 0) AND (referee_minor >= 0))),
    CONSTRAINT referral_state_is_known CHECK ((state = ANY (ARRAY['claimed'::text, 'qualified'::text, 'rewarded'::text, 'refused'::text, 'reversed'::text])))
);

CREATE TABLE public.referral_code (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    code text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.registration (
    hash bytea NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL COLLATE pg_catalog."C",
    contact bytea NOT NULL,
    name bytea,
    password_hash text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    referral_code text COLLATE pg_catalog."C",
    CONSTRAINT registration_channel_is_known CHECK ((channel = ANY (ARRAY['email'::text, 'phone'::text])))
);

CREATE TABLE public.revocation (
    id text NOT NULL COLLATE pg_catalog."C",
    until timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.schedule_run (
    job text NOT NULL COLLATE pg_catalog."C",
    due_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone
);

CREATE TABLE public.schema_migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.session (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    subject_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    has_second_factor boolean NOT NULL,
    family_hash bytea NOT NULL,
    refresh_hash bytea NOT NULL,
    user_agent text NOT NULL,
    address text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT session_role_is_known CHECK ((role = ANY (ARRAY['member'::text, 'staff'::text, 'owner'::text, 'admin'::text])))
);

CREATE TABLE public.source_rate (
    program_id text NOT NULL COLLATE pg_catalog."C",
    source_id text NOT NULL COLLATE pg_catalog."C",
    measure text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    days integer NOT NULL,
    hits bigint NOT NULL,
    total bigint NOT NULL,
    other_hits bigint NOT NULL,
    other_total bigint NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    CONSTRAINT source_rate_kind_is_known CHECK ((kind = ANY (ARRAY['network'::text, 'link'::text]))),
    CONSTRAINT source_rate_measure_is_known CHECK ((measure = ANY (ARRAY['approvals'::text, 'conversions'::text])))
);

CREATE TABLE public.stream_checkpoint (
    stream text NOT NULL COLLATE pg_catalog."C",
    last_id text DEFAULT '0-0'::text NOT NULL COLLATE pg_catalog."C",
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.template (
    program_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    channel text NOT NULL COLLATE pg_catalog."C",
    language text NOT NULL COLLATE pg_catalog."C",
    subject text DEFAULT ''::text NOT NULL,
    text text NOT NULL,
    html text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT template_channel_is_known CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text, 'push'::text, 'whatsapp'::text])))
);

CREATE TABLE public.totp (
    subject_id text NOT NULL COLLATE pg_catalog."C",
    program_id text COLLATE pg_catalog."C",
    secret bytea NOT NULL,
    enabled_at timestamp with time zone,
    last_step bigint,
    wrong smallint DEFAULT 0 NOT NULL,
    wrong_since timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.webhook_delivery (
    id text NOT NULL COLLATE pg_catalog."C",
    endpoint_id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    body bytea NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    attempts integer DEFAULT 0 NOT NULL,
    last_status integer,
    last_error text,
    next_attempt_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT webhook_delivery_state_is_known CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);

CREATE TABLE public.webhook_endpoint (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    url text NOT NULL,
    events text[] NOT NULL,
    state text DEFAULT 'enabled'::text NOT NULL COLLATE pg_catalog."C",
    secret text,
    previous_secret text,
    previous_secret_until timestamp with time zone,
    description text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    sealed_secret bytea,
    sealed_previous_secret bytea,
    CONSTRAINT webhook_endpoint_state_is_known CHECK ((state = ANY (ARRAY['enabled'::text, 'disabled'::text])))
);

CREATE TABLE public.withdrawal (
    id text NOT NULL COLLATE pg_catalog."C",
    program_id text NOT NULL COLLATE pg_catalog."C",
    member_id text NOT NULL COLLATE pg_catalog."C",
    amount_minor bigint NOT NULL,
    currency text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    method text NOT NULL COLLATE pg_catalog."C",
    destination bytea,
    language text NOT NULL COLLATE pg_catalog."C",
    provider text COLLATE pg_catalog."C",
    provider_reference text,
    first_approved_by text COLLATE pg_catalog."C",
    approved_by text COLLATE pg_catalog."C",
    decided_by text COLLATE pg_catalog."C",
    reason text,
    utr text,
    requested_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    is_held boolean DEFAULT false NOT NULL,
    reasons text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT withdrawal_amount_is_positive CHECK ((amount_minor > 0)),
    CONSTRAINT withdrawal_has_two_approvers CHECK ((first_approved_by <> approved_by)),
    CONSTRAINT withdrawal_is_paid_by_a_provider CHECK (((state <> 'paying'::text) OR (provider IS NOT NULL))),
    CONSTRAINT withdrawal_is_paid_when_approved CHECK (((approved_by IS NOT NULL) OR (state <> ALL (ARRAY['approved'::text, 'paying'::text, 'unclear'::text, 'paid'::text, 'failed'::text, 'reversed'::text])))),
    CONSTRAINT withdrawal_method_is_known CHECK ((method = ANY (ARRAY['upi'::text, 'bank'::text]))),
    CONSTRAINT withdrawal_state_is_known CHECK ((state = ANY (ARRAY['requested'::text, 'approved'::text, 'paying'::text, 'unclear'::text, 'paid'::text, 'failed'::text, 'rejected'::text, 'canceled'::text, 'reversed'::text])))
);

CREATE TABLE public.withdrawal_hit (
    withdrawal_id text NOT NULL COLLATE pg_catalog."C",
    rule_id text NOT NULL COLLATE pg_catalog."C",
    rule_version integer NOT NULL,
    program_id text NOT NULL COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    is_shadow boolean NOT NULL,
    reason text NOT NULL,
    hit_at timestamp with time zone NOT NULL,
    CONSTRAINT withdrawal_hit_action_is_known CHECK ((action = ANY (ARRAY['flag'::text, 'hold'::text, 'reject'::text])))
);

ALTER TABLE ONLY public.audit_entry ATTACH PARTITION public.audit_entry_default DEFAULT;

ALTER TABLE ONLY public.click ATTACH PARTITION public.click_default DEFAULT;

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_is_unique UNIQUE (program_id, role, member_id, unit, partition);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.address_salt
    ADD CONSTRAINT address_salt_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.adjustment
    ADD CONSTRAINT adjustment_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_prefix_is_unique UNIQUE (prefix);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_previous_prefix_is_unique UNIQUE (previous_prefix);

ALTER TABLE ONLY public.api_key_usage
    ADD CONSTRAINT api_key_usage_pkey PRIMARY KEY (key_id, day);

ALTER TABLE ONLY public.audit_chain
    ADD CONSTRAINT audit_chain_pkey PRIMARY KEY (program_id);

ALTER TABLE ONLY public.audit_entry
    ADD CONSTRAINT audit_entry_pkey PRIMARY KEY (at, id);

ALTER TABLE ONLY public.audit_entry_default
    ADD CONSTRAINT audit_entry_default_pkey PRIMARY KEY (at, id);

ALTER TABLE ONLY public.award_partition
    ADD CONSTRAINT award_partition_pkey PRIMARY KEY (partition);

ALTER TABLE ONLY public.break_glass
    ADD CONSTRAINT break_glass_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.budget_lease
    ADD CONSTRAINT budget_lease_pkey PRIMARY KEY (program_id, unit, partition);

ALTER TABLE ONLY public.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (program_id, unit);

ALTER TABLE ONLY public.category
    ADD CONSTRAINT category_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.category
    ADD CONSTRAINT category_slug_is_unique UNIQUE (program_id, slug);

ALTER TABLE ONLY public.claim_evidence
    ADD CONSTRAINT claim_evidence_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.claim_inquiry
    ADD CONSTRAINT claim_inquiry_pkey PRIMARY KEY (claim_id);

ALTER TABLE ONLY public.claim
    ADD CONSTRAINT claim_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.claim_policy
    ADD CONSTRAINT claim_policy_pkey PRIMARY KEY (program_id);

ALTER TABLE ONLY public.click_boot
    ADD CONSTRAINT click_boot_pkey PRIMARY KEY (boot);

ALTER TABLE ONLY public.click_daily
    ADD CONSTRAINT click_daily_pkey PRIMARY KEY (link_id, day, class, device, country, variant);

ALTER TABLE ONLY public.click
    ADD CONSTRAINT click_pkey PRIMARY KEY (day, click_id);

ALTER TABLE ONLY public.click_default
    ADD CONSTRAINT click_default_pkey PRIMARY KEY (day, click_id);

ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.conversion
    ADD CONSTRAINT conversion_is_one UNIQUE (network_id, txn_id, event);

ALTER TABLE ONLY public.conversion
    ADD CONSTRAINT conversion_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credential
    ADD CONSTRAINT credential_pkey PRIMARY KEY (subject_id);

ALTER TABLE ONLY public.dead_letter
    ADD CONSTRAINT dead_letter_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.erasure
    ADD CONSTRAINT erasure_is_once UNIQUE (member_id);

ALTER TABLE ONLY public.erasure
    ADD CONSTRAINT erasure_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.exchange_rate
    ADD CONSTRAINT exchange_rate_pkey PRIMARY KEY (program_id, source, target, valid_from);

ALTER TABLE ONLY public.fraud_case
    ADD CONSTRAINT fraud_case_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.fraud_hit
    ADD CONSTRAINT fraud_hit_pkey PRIMARY KEY (conversion_id, rule_id, rule_version);

ALTER TABLE ONLY public.fraud_list
    ADD CONSTRAINT fraud_list_pkey PRIMARY KEY (program_id, name);

ALTER TABLE ONLY public.fraud_rule
    ADD CONSTRAINT fraud_rule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.fraud_rule_version
    ADD CONSTRAINT fraud_rule_version_pkey PRIMARY KEY (rule_id, version);

ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (partition, generation, sequence);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (program_id, caller, key);

ALTER TABLE ONLY public.identity
    ADD CONSTRAINT identity_is_unique UNIQUE (program_id, provider, subject_hash);

ALTER TABLE ONLY public.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.identity
    ADD CONSTRAINT identity_provider_is_linked_once UNIQUE (member_id, provider);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.invitation
    ADD CONSTRAINT invitation_is_unique UNIQUE (hash);

ALTER TABLE ONLY public.invitation
    ADD CONSTRAINT invitation_pkey PRIMARY KEY (operator_id);

ALTER TABLE ONLY public.kyc
    ADD CONSTRAINT kyc_pkey PRIMARY KEY (member_id);

ALTER TABLE ONLY public.ledger_transaction
    ADD CONSTRAINT ledger_transaction_pkey PRIMARY KEY (partition, generation, sequence);

ALTER TABLE ONLY public.link
    ADD CONSTRAINT link_external_id_is_unique UNIQUE (program_id, external_id);

ALTER TABLE ONLY public.link
    ADD CONSTRAINT link_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.link
    ADD CONSTRAINT link_slug_is_unique UNIQUE (slug);

ALTER TABLE ONLY public.listed_domain
    ADD CONSTRAINT listed_domain_pkey PRIMARY KEY (program_id, domain, name);

ALTER TABLE ONLY public.listed_network
    ADD CONSTRAINT listed_network_pkey PRIMARY KEY (program_id, name, network);

ALTER TABLE ONLY public.member_contact
    ADD CONSTRAINT member_contact_is_unique UNIQUE (program_id, channel, hash);

ALTER TABLE ONLY public.member_contact
    ADD CONSTRAINT member_contact_pkey PRIMARY KEY (member_id, channel);

ALTER TABLE ONLY public.member_export
    ADD CONSTRAINT member_export_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_external_id_is_unique UNIQUE (program_id, external_id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.merchant
    ADD CONSTRAINT merchant_external_id_is_unique UNIQUE (program_id, external_id);

ALTER TABLE ONLY public.merchant
    ADD CONSTRAINT merchant_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.mfa_challenge
    ADD CONSTRAINT mfa_challenge_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.money_account
    ADD CONSTRAINT money_account_is_one UNIQUE (program_id, role, currency, member_id, network_id);

ALTER TABLE ONLY public.money_account
    ADD CONSTRAINT money_account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.money_posting
    ADD CONSTRAINT money_posting_pkey PRIMARY KEY (transaction_id, ordinal);

ALTER TABLE ONLY public.money_transaction
    ADD CONSTRAINT money_transaction_is_made_once UNIQUE (program_id, subject, step);

ALTER TABLE ONLY public.money_transaction
    ADD CONSTRAINT money_transaction_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notice
    ADD CONSTRAINT notice_dedupe_key_is_unique UNIQUE (program_id, dedupe_key);

ALTER TABLE ONLY public.notice
    ADD CONSTRAINT notice_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_dedupe_key_is_unique UNIQUE NULLS NOT DISTINCT (program_id, dedupe_key);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notification_preference
    ADD CONSTRAINT notification_preference_pkey PRIMARY KEY (member_id, topic, channel);

ALTER TABLE ONLY public.offer
    ADD CONSTRAINT offer_external_id_is_unique UNIQUE (program_id, external_id);

ALTER TABLE ONLY public.offer
    ADD CONSTRAINT offer_link_is_its_own UNIQUE (link_id);

ALTER TABLE ONLY public.offer
    ADD CONSTRAINT offer_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.one_time_code
    ADD CONSTRAINT one_time_code_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.operator
    ADD CONSTRAINT operator_email_is_unique UNIQUE (email_hash);

ALTER TABLE ONLY public.operator
    ADD CONSTRAINT operator_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payout_event
    ADD CONSTRAINT payout_event_pkey PRIMARY KEY (provider, event_id);

ALTER TABLE ONLY public.payout_method
    ADD CONSTRAINT payout_method_is_one UNIQUE (member_id, details_hash);

ALTER TABLE ONLY public.payout_method
    ADD CONSTRAINT payout_method_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.postback
    ADD CONSTRAINT postback_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.posting
    ADD CONSTRAINT posting_pkey PRIMARY KEY (partition, generation, sequence, ordinal);

ALTER TABLE ONLY public.program
    ADD CONSTRAINT program_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.push_subscription
    ADD CONSTRAINT push_subscription_is_unique UNIQUE (program_id, hash);

ALTER TABLE ONLY public.push_subscription
    ADD CONSTRAINT push_subscription_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_is_unique UNIQUE (stream, entry_id, "position");

ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.quiet_hours
    ADD CONSTRAINT quiet_hours_pkey PRIMARY KEY (member_id);

ALTER TABLE ONLY public.reclassification
    ADD CONSTRAINT reclassification_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.recovery_code
    ADD CONSTRAINT recovery_code_pkey PRIMARY KEY (subject_id, code_hash);

ALTER TABLE ONLY public.referral_code
    ADD CONSTRAINT referral_code_is_one UNIQUE (program_id, code);

ALTER TABLE ONLY public.referral_code
    ADD CONSTRAINT referral_code_of_member UNIQUE (member_id);

ALTER TABLE ONLY public.referral_code
    ADD CONSTRAINT referral_code_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.referral
    ADD CONSTRAINT referral_of_member UNIQUE (member_id);

ALTER TABLE ONLY public.referral
    ADD CONSTRAINT referral_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.registration
    ADD CONSTRAINT registration_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.revocation
    ADD CONSTRAINT revocation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schedule_run
    ADD CONSTRAINT schedule_run_pkey PRIMARY KEY (job, due_at);

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.source_rate
    ADD CONSTRAINT source_rate_pkey PRIMARY KEY (program_id, source_id, measure, kind, days);

ALTER TABLE ONLY public.stream_checkpoint
    ADD CONSTRAINT stream_checkpoint_pkey PRIMARY KEY (stream);

ALTER TABLE ONLY public.template
    ADD CONSTRAINT template_pkey PRIMARY KEY (program_id, name, channel, language);

ALTER TABLE ONLY public.totp
    ADD CONSTRAINT totp_pkey PRIMARY KEY (subject_id);

ALTER TABLE ONLY public.webhook_delivery
    ADD CONSTRAINT webhook_delivery_is_unique UNIQUE (endpoint_id, event_id);

ALTER TABLE ONLY public.webhook_delivery
    ADD CONSTRAINT webhook_delivery_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_endpoint
    ADD CONSTRAINT webhook_endpoint_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.withdrawal_hit
    ADD CONSTRAINT withdrawal_hit_pkey PRIMARY KEY (withdrawal_id, rule_id);

ALTER TABLE ONLY public.withdrawal
    ADD CONSTRAINT withdrawal_pkey PRIMARY KEY (id);

CREATE INDEX account_by_member ON public.account USING btree (member_id) WHERE (member_id <> ''::text);

CREATE INDEX account_by_partition ON public.account USING btree (partition);

CREATE INDEX adjustment_by_member ON public.adjustment USING btree (member_id, id);

CREATE INDEX adjustment_by_program ON public.adjustment USING btree (program_id, id);

CREATE INDEX api_key_by_program ON public.api_key USING btree (program_id, id);

CREATE INDEX audit_entry_by_id ON ONLY public.audit_entry USING btree (id);

CREATE INDEX audit_entry_by_object ON ONLY public.audit_entry USING btree (object_id, id);

CREATE INDEX audit_entry_by_position ON ONLY public.audit_entry USING btree (program_id, "position");

CREATE INDEX audit_entry_by_program ON ONLY public.audit_entry USING btree (program_id, id);

CREATE INDEX audit_entry_default_id_idx ON public.audit_entry_default USING btree (id);

CREATE INDEX audit_entry_unsealed ON ONLY public.audit_entry USING btree (id) WHERE ("position" IS NULL);

CREATE INDEX audit_entry_default_id_idx1 ON public.audit_entry_default USING btree (id) WHERE ("position" IS NULL);

CREATE INDEX audit_entry_default_object_id_id_idx ON public.audit_entry_default USING btree (object_id, id);

CREATE INDEX audit_entry_default_program_id_id_idx ON public.audit_entry_default USING btree (program_id, id);

CREATE INDEX audit_entry_default_program_id_position_idx ON public.audit_entry_default USING btree (program_id, "position");

CREATE INDEX category_by_parent ON public.category USING btree (parent_id);

CREATE INDEX claim_by_click ON public.claim USING btree (program_id, click_id);

CREATE INDEX claim_by_member ON public.claim USING btree (member_id, id);

CREATE INDEX claim_by_order ON public.claim USING btree (program_id, lower(ltrim(order_id, '#'::text)));

CREATE INDEX claim_by_program ON public.claim USING btree (program_id, id);

CREATE INDEX claim_by_state ON public.claim USING btree (program_id, state, id);

CREATE INDEX claim_evidence_by_claim ON public.claim_evidence USING btree (claim_id, id);

CREATE INDEX claim_evidence_by_member ON public.claim_evidence USING btree (member_id);

CREATE UNIQUE INDEX claim_of_a_click_is_one ON public.claim USING btree (program_id, click_id) WHERE (conversion_id IS NULL);

CREATE UNIQUE INDEX claim_of_an_order_is_one ON public.claim USING btree (program_id, merchant_id, lower(ltrim(order_id, '#'::text))) WHERE (conversion_id IS NULL);

CREATE INDEX click_by_link ON ONLY public.click USING btree (link_id, click_id);

CREATE INDEX click_by_member ON ONLY public.click USING btree (member_id) WHERE (member_id IS NOT NULL);

CREATE INDEX click_daily_by_program ON public.click_daily USING btree (program_id, day);

CREATE INDEX click_default_link_id_click_id_idx ON public.click_default USING btree (link_id, click_id);

CREATE INDEX click_default_member_id_idx ON public.click_default USING btree (member_id) WHERE (member_id IS NOT NULL);

CREATE INDEX consent_by_member ON public.consent USING btree (member_id, purpose, id);

CREATE INDEX conversion_by_click ON public.conversion USING btree (click_id) WHERE (click_id IS NOT NULL);

CREATE INDEX conversion_by_member ON public.conversion USING btree (member_id, id) WHERE (member_id IS NOT NULL);

CREATE INDEX conversion_by_order ON public.conversion USING btree (program_id, lower((ltrim(order_id, '#'::text) COLLATE "C"))) WHERE (order_id IS NOT NULL);

CREATE INDEX conversion_by_program ON public.conversion USING btree (program_id, id);

CREATE INDEX conversion_to_try ON public.conversion USING btree (network_id, next_try_at) WHERE (next_try_at IS NOT NULL);

CREATE INDEX conversion_without_rate ON public.conversion USING btree (program_id, id) WHERE (parked = ANY (ARRAY['currency_unknown'::text, 'amount_implausible'::text]));

CREATE INDEX credential_imported ON public.credential USING btree (program_id) WHERE starts_with(password_hash, '$2'::text);

CREATE INDEX erasure_by_program ON public.erasure USING btree (program_id, id);

CREATE INDEX erasure_by_time ON public.erasure USING btree (finished_at);

CREATE INDEX fraud_case_by_conversion ON public.fraud_case USING btree (conversion_id, id);

CREATE INDEX fraud_case_by_program ON public.fraud_case USING btree (program_id, id);

CREATE INDEX fraud_case_by_state ON public.fraud_case USING btree (program_id, state, id);

CREATE UNIQUE INDEX fraud_case_is_open_once ON public.fraud_case USING btree (conversion_id) WHERE (state = 'open'::text);

CREATE INDEX fraud_hit_by_case ON public.fraud_hit USING btree (case_id) WHERE (case_id IS NOT NULL);

CREATE INDEX fraud_hit_by_rule ON public.fraud_hit USING btree (rule_id, rule_version);

CREATE INDEX fraud_rule_by_program ON public.fraud_rule USING btree (program_id, id) WHERE (deleted_at IS NULL);

CREATE INDEX hold_by_member ON public.hold USING btree (member_id);

CREATE INDEX hold_open ON public.hold USING btree (partition) WHERE (state = 'open'::text);

CREATE INDEX idempotency_by_time ON public.idempotency USING btree (created_at);

CREATE INDEX kyc_by_document ON public.kyc USING btree (program_id, document_hash);

CREATE INDEX ledger_transaction_by_member ON public.ledger_transaction USING btree (member_id, generation, sequence);

CREATE INDEX ledger_transaction_by_time ON public.ledger_transaction USING brin (recorded_at);

CREATE INDEX ledger_transaction_reversal ON public.ledger_transaction USING btree (partition, related) WHERE (type = 'reversal'::text);

CREATE INDEX link_by_program ON public.link USING btree (program_id, id);

CREATE INDEX listed_domain_by_name ON public.listed_domain USING btree (program_id, name);

CREATE INDEX listed_network_by_network ON public.listed_network USING gist (network inet_ops);

CREATE INDEX member_banned ON public.member USING btree (program_id, id) WHERE (banned_at IS NOT NULL);

CREATE INDEX member_by_program ON public.member USING btree (program_id, id);

CREATE INDEX member_contact_by_hash ON public.member_contact USING btree (hash);

CREATE INDEX member_export_by_expiry ON public.member_export USING btree (expires_at) WHERE (state = 'done'::text);

CREATE INDEX member_export_by_member ON public.member_export USING btree (member_id, id);

CREATE INDEX member_export_by_program ON public.member_export USING btree (program_id, id);

CREATE UNIQUE INDEX member_export_is_one_at_a_time ON public.member_export USING btree (member_id) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));

CREATE INDEX merchant_by_category ON public.merchant USING gin (category_ids);

CREATE INDEX merchant_by_host ON public.merchant USING gin (hosts);

CREATE INDEX mfa_challenge_by_subject ON public.mfa_challenge USING btree (subject_id);

CREATE INDEX mfa_challenge_by_time ON public.mfa_challenge USING btree (created_at);

CREATE INDEX money_account_of_member ON public.money_account USING btree (member_id) WHERE (member_id <> ''::text);

CREATE INDEX money_posting_by_destination ON public.money_posting USING btree (destination_id, transaction_id);

CREATE INDEX money_posting_by_source ON public.money_posting USING btree (source_id, transaction_id);

CREATE INDEX money_transaction_of_member ON public.money_transaction USING btree (member_id, id) WHERE (member_id IS NOT NULL);

CREATE INDEX network_by_program ON public.network USING btree (program_id, id);

CREATE INDEX notice_by_member ON public.notice USING btree (member_id, id);

CREATE INDEX notice_by_program ON public.notice USING btree (program_id, id);

CREATE INDEX notice_unreachable ON public.notice USING btree (program_id, id) WHERE (state = 'unreachable'::text);

CREATE INDEX notification_by_notice ON public.notification USING btree (notice_id) WHERE (notice_id IS NOT NULL);

CREATE INDEX notification_by_program ON public.notification USING btree (program_id, id);

CREATE INDEX notification_by_recipient ON public.notification USING btree (recipient_id);

CREATE INDEX notification_by_reference ON public.notification USING btree (provider, provider_reference) WHERE (provider_reference IS NOT NULL);

CREATE INDEX notification_tests ON public.notification USING btree (program_id, created_at) WHERE (recipient_kind = 'test'::text);

CREATE INDEX offer_by_category ON public.offer USING gin (category_ids);

CREATE INDEX offer_by_merchant ON public.offer USING btree (merchant_id, id);

CREATE INDEX offer_by_program ON public.offer USING btree (program_id, id);

CREATE INDEX offer_hot ON public.offer USING btree (program_id, rank, id) WHERE is_hot;

CREATE INDEX offer_search ON public.offer USING gin (search);

CREATE INDEX one_time_code_by_block ON public.one_time_code USING btree (block_hash, asked_at) WHERE (block_hash IS NOT NULL);

CREATE INDEX one_time_code_by_contact ON public.one_time_code USING btree (contact_hash, asked_at);

CREATE INDEX one_time_code_by_source ON public.one_time_code USING btree (source_hash, asked_at) WHERE (source_hash IS NOT NULL);

CREATE INDEX one_time_code_by_time ON public.one_time_code USING btree (asked_at);

CREATE INDEX operator_by_program ON public.operator USING btree (program_id, id);

CREATE INDEX outbox_due ON public.outbox USING btree (due_at) WHERE (sent_at IS NULL);

CREATE INDEX outbox_sent ON public.outbox USING btree (sent_at) WHERE (sent_at IS NOT NULL);

CREATE INDEX payout_event_by_time ON public.payout_event USING btree (received_at);

CREATE INDEX payout_event_of_withdrawal ON public.payout_event USING btree (withdrawal_id) WHERE (withdrawal_id IS NOT NULL);

CREATE INDEX payout_method_by_details ON public.payout_method USING btree (program_id, details_hash);

CREATE INDEX postback_by_network ON public.postback USING btree (network_id, id);

CREATE INDEX postback_of_conversion ON public.postback USING btree (conversion_id) WHERE (conversion_id IS NOT NULL);

CREATE INDEX postback_unread ON public.postback USING btree (network_id, id) WHERE (verdict IS NULL);

CREATE INDEX push_subscription_by_member ON public.push_subscription USING btree (member_id, id);

CREATE INDEX reclassification_by_program ON public.reclassification USING btree (program_id, id);

CREATE INDEX referral_by_program ON public.referral USING btree (program_id, id);

CREATE INDEX referral_by_referrer ON public.referral USING btree (referrer_id, id);

CREATE INDEX referral_code_by_program ON public.referral_code USING btree (program_id, id);

CREATE INDEX registration_by_expiry ON public.registration USING btree (expires_at);

CREATE INDEX revocation_by_time ON public.revocation USING btree (revoked_at);

CREATE INDEX session_by_expiry ON public.session USING btree (expires_at);

CREATE INDEX session_by_subject ON public.session USING btree (subject_id, id) WHERE (revoked_at IS NULL);

CREATE INDEX webhook_delivery_by_program ON public.webhook_delivery USING btree (program_id, id);

CREATE INDEX webhook_endpoint_by_program ON public.webhook_endpoint USING btree (program_id, id);

CREATE INDEX withdrawal_by_member ON public.withdrawal USING btree (member_id, id);

CREATE INDEX withdrawal_by_program ON public.withdrawal USING btree (program_id, id);

CREATE INDEX withdrawal_by_state ON public.withdrawal USING btree (program_id, state, id);

CREATE INDEX withdrawal_hit_by_rule ON public.withdrawal_hit USING btree (rule_id, rule_version);

ALTER INDEX public.audit_entry_by_id ATTACH PARTITION public.audit_entry_default_id_idx;

ALTER INDEX public.audit_entry_unsealed ATTACH PARTITION public.audit_entry_default_id_idx1;

ALTER INDEX public.audit_entry_by_object ATTACH PARTITION public.audit_entry_default_object_id_id_idx;

ALTER INDEX public.audit_entry_pkey ATTACH PARTITION public.audit_entry_default_pkey;

ALTER INDEX public.audit_entry_by_program ATTACH PARTITION public.audit_entry_default_program_id_id_idx;

ALTER INDEX public.audit_entry_by_position ATTACH PARTITION public.audit_entry_default_program_id_position_idx;

ALTER INDEX public.click_by_link ATTACH PARTITION public.click_default_link_id_click_id_idx;

ALTER INDEX public.click_by_member ATTACH PARTITION public.click_default_member_id_idx;

ALTER INDEX public.click_pkey ATTACH PARTITION public.click_default_pkey;

CREATE TRIGGER audit_entry_is_append_only BEFORE DELETE OR UPDATE ON public.audit_entry FOR EACH ROW EXECUTE FUNCTION public.keep_audit_entry();

CREATE TRIGGER audit_entry_is_not_truncated BEFORE TRUNCATE ON public.audit_entry FOR EACH STATEMENT EXECUTE FUNCTION public.keep_audit_entry();

CREATE TRIGGER audit_entry_is_not_truncated BEFORE TRUNCATE ON public.audit_entry_default FOR EACH STATEMENT EXECUTE FUNCTION public.keep_audit_entry();

CREATE TRIGGER ledger_transaction_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger_transaction FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER money_posting_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.money_posting FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER money_transaction_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.money_transaction FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER posting_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.posting FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE ONLY public.adjustment
    ADD CONSTRAINT adjustment_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.api_key_usage
    ADD CONSTRAINT api_key_usage_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.api_key(id);

ALTER TABLE ONLY public.break_glass
    ADD CONSTRAINT break_glass_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.category
    ADD CONSTRAINT category_parent_exists FOREIGN KEY (parent_id) REFERENCES public.category(id);

ALTER TABLE ONLY public.category
    ADD CONSTRAINT category_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.claim_evidence
    ADD CONSTRAINT claim_evidence_claim_exists FOREIGN KEY (claim_id) REFERENCES public.claim(id);

ALTER TABLE ONLY public.claim_inquiry
    ADD CONSTRAINT claim_inquiry_claim_exists FOREIGN KEY (claim_id) REFERENCES public.claim(id);

ALTER TABLE ONLY public.claim
    ADD CONSTRAINT claim_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.claim_policy
    ADD CONSTRAINT claim_policy_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.erasure
    ADD CONSTRAINT erasure_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.exchange_rate
    ADD CONSTRAINT exchange_rate_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.fraud_list
    ADD CONSTRAINT fraud_list_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.fraud_rule
    ADD CONSTRAINT fraud_rule_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.fraud_rule_version
    ADD CONSTRAINT fraud_rule_version_rule_exists FOREIGN KEY (rule_id) REFERENCES public.fraud_rule(id);

ALTER TABLE ONLY public.identity
    ADD CONSTRAINT identity_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.invitation
    ADD CONSTRAINT invitation_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES public.operator(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.kyc
    ADD CONSTRAINT kyc_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.link
    ADD CONSTRAINT link_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.member_contact
    ADD CONSTRAINT member_contact_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.member_export
    ADD CONSTRAINT member_export_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.merchant
    ADD CONSTRAINT merchant_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.mfa_challenge
    ADD CONSTRAINT mfa_challenge_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.money_posting
    ADD CONSTRAINT money_posting_destination_exists FOREIGN KEY (destination_id) REFERENCES public.money_account(id);

ALTER TABLE ONLY public.money_posting
    ADD CONSTRAINT money_posting_source_exists FOREIGN KEY (source_id) REFERENCES public.money_account(id);

ALTER TABLE ONLY public.money_posting
    ADD CONSTRAINT money_posting_transaction_exists FOREIGN KEY (transaction_id) REFERENCES public.money_transaction(id);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.notification_preference
    ADD CONSTRAINT notification_preference_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.offer
    ADD CONSTRAINT offer_link_exists FOREIGN KEY (link_id) REFERENCES public.link(id);

ALTER TABLE ONLY public.offer
    ADD CONSTRAINT offer_merchant_exists FOREIGN KEY (merchant_id) REFERENCES public.merchant(id);

ALTER TABLE ONLY public.offer
    ADD CONSTRAINT offer_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.one_time_code
    ADD CONSTRAINT one_time_code_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.operator
    ADD CONSTRAINT operator_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.payout_method
    ADD CONSTRAINT payout_method_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.push_subscription
    ADD CONSTRAINT push_subscription_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.quiet_hours
    ADD CONSTRAINT quiet_hours_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.reclassification
    ADD CONSTRAINT reclassification_program_exists FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.recovery_code
    ADD CONSTRAINT recovery_code_subject_id_fkey FOREIGN KEY (subject_id) REFERENCES public.totp(subject_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.referral_code
    ADD CONSTRAINT referral_code_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.referral
    ADD CONSTRAINT referral_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.referral
    ADD CONSTRAINT referral_referrer_exists FOREIGN KEY (referrer_id) REFERENCES public.member(id);

ALTER TABLE ONLY public.registration
    ADD CONSTRAINT registration_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.template
    ADD CONSTRAINT template_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.totp
    ADD CONSTRAINT totp_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.webhook_delivery
    ADD CONSTRAINT webhook_delivery_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.webhook_endpoint(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_endpoint
    ADD CONSTRAINT webhook_endpoint_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.program(id);

ALTER TABLE ONLY public.withdrawal_hit
    ADD CONSTRAINT withdrawal_hit_withdrawal_exists FOREIGN KEY (withdrawal_id) REFERENCES public.withdrawal(id);

ALTER TABLE ONLY public.withdrawal
    ADD CONSTRAINT withdrawal_member_exists FOREIGN KEY (member_id) REFERENCES public.member(id);
