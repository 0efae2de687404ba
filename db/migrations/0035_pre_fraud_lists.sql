-- Lists that fraud rules look things up in: networks of clicks, and domains of mail addresses.

CREATE TABLE fraud_list (
    program_id text NOT NULL COLLATE "C",
    name text NOT NULL COLLATE "C",
    kind text NOT NULL COLLATE "C",
    entries integer NOT NULL,
    updated_by text NOT NULL COLLATE "C",
    updated_at timestamptz NOT NULL,
    CONSTRAINT fraud_list_pkey PRIMARY KEY (program_id, name),
    CONSTRAINT fraud_list_program_exists FOREIGN KEY (program_id) REFERENCES program (id),
    CONSTRAINT fraud_list_kind_is_known CHECK (kind IN ('networks', 'mail_domains'))
);

CREATE TABLE listed_network (
    program_id text NOT NULL COLLATE "C",
    name text NOT NULL COLLATE "C",
    network cidr NOT NULL,
    label text NOT NULL,
    CONSTRAINT listed_network_pkey PRIMARY KEY (program_id, name, network)
);
CREATE INDEX listed_network_by_network ON listed_network USING gist (network inet_ops);

CREATE TABLE listed_domain (
    program_id text NOT NULL COLLATE "C",
    domain text NOT NULL COLLATE "C",
    name text NOT NULL COLLATE "C",
    label text NOT NULL,
    CONSTRAINT listed_domain_pkey PRIMARY KEY (program_id, domain, name)
);
CREATE INDEX listed_domain_by_name ON listed_domain (program_id, name);

-- In which lists the network of its address stood when it was stored: a name, a blank and a label.
ALTER TABLE click ADD COLUMN networks text[];
