-- The catalogue: categories, more of merchants, and offers.

CREATE TABLE category (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    parent_id text COLLATE "C",
    slug text NOT NULL COLLATE "C",
    name text NOT NULL,
    position integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT category_pkey PRIMARY KEY (id),
    CONSTRAINT category_program_exists FOREIGN KEY (program_id) REFERENCES program (id),
    CONSTRAINT category_parent_exists FOREIGN KEY (parent_id) REFERENCES category (id),
    CONSTRAINT category_slug_is_unique UNIQUE (program_id, slug),
    CONSTRAINT category_is_not_its_own_parent CHECK (parent_id <> id)
);
CREATE INDEX category_by_parent ON category (parent_id);

-- `hosts` are the names of the shop's pages; `approval_days` is how long it takes until a purchase is
-- approved.
ALTER TABLE merchant
    ADD COLUMN state text NOT NULL DEFAULT 'active' COLLATE "C",
    ADD COLUMN hosts text[] NOT NULL DEFAULT '{}' COLLATE "C",
    ADD COLUMN logo_url text,
    ADD COLUMN category_ids text[] NOT NULL DEFAULT '{}' COLLATE "C",
    ADD COLUMN approval_days integer,
    ADD COLUMN descriptions jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT merchant_state_is_known CHECK (state IN ('active', 'paused')),
    ADD CONSTRAINT merchant_approval_takes_time CHECK (approval_days >= 0);
CREATE INDEX merchant_by_host ON merchant USING gin (hosts);
CREATE INDEX merchant_by_category ON merchant USING gin (category_ids);

-- Each offer has a link of its own, which its clicks are made on: that is how a conversion finds it.
-- `config` has what no other column has. `search` is of the title, the merchant's name and the code.
CREATE TABLE offer (
    id text NOT NULL COLLATE "C",
    program_id text NOT NULL COLLATE "C",
    merchant_id text NOT NULL COLLATE "C",
    link_id text NOT NULL COLLATE "C",
    external_id text COLLATE "C",
    network_id text COLLATE "C",
    title text NOT NULL,
    kind text NOT NULL COLLATE "C",
    state text NOT NULL COLLATE "C",
    coupon_code text,
    category_ids text[] NOT NULL COLLATE "C",
    is_hot boolean NOT NULL,
    rank integer NOT NULL,
    starts_at timestamptz,
    ends_at timestamptz,
    config jsonb NOT NULL,
    search tsvector NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT offer_pkey PRIMARY KEY (id),
    CONSTRAINT offer_program_exists FOREIGN KEY (program_id) REFERENCES program (id),
    CONSTRAINT offer_merchant_exists FOREIGN KEY (merchant_id) REFERENCES merchant (id),
    CONSTRAINT offer_link_exists FOREIGN KEY (link_id) REFERENCES link (id),
    CONSTRAINT offer_link_is_its_own UNIQUE (link_id),
    CONSTRAINT offer_external_id_is_unique UNIQUE (program_id, external_id),
    CONSTRAINT offer_kind_is_known CHECK (kind IN ('cashback', 'coupon', 'deal')),
    CONSTRAINT offer_state_is_known CHECK (state IN ('draft', 'active', 'paused', 'ended')),
    CONSTRAINT offer_coupon_has_a_code CHECK (kind <> 'coupon' OR coupon_code IS NOT NULL),
    CONSTRAINT offer_ends_after_it_starts CHECK (starts_at < ends_at)
);
CREATE INDEX offer_by_program ON offer (program_id, id);
CREATE INDEX offer_by_merchant ON offer (merchant_id, id);
CREATE INDEX offer_hot ON offer (program_id, rank, id) WHERE is_hot;
CREATE INDEX offer_by_category ON offer USING gin (category_ids);
CREATE INDEX offer_search ON offer USING gin (search);
