-- What names a person or opens a door is sealed (core/fields.py); consents; exports and erasures.

-- Name and attributes of a member, sealed together. Until the post phase the new code writes the plain
-- columns as well, so that the old code goes on reading them.
ALTER TABLE installation ADD COLUMN is_sealing boolean NOT NULL DEFAULT false;
ALTER TABLE member ADD COLUMN profile bytea, ADD COLUMN erased_at timestamptz;
ALTER TABLE webhook_endpoint
    ADD COLUMN sealed_secret bytea,
    ADD COLUMN sealed_previous_secret bytea,
    ALTER COLUMN secret DROP NOT NULL;

-- The old code changes the plain columns alone; what was sealed before is out of date then.
CREATE FUNCTION forget_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.profile := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER member_plain_is_newer BEFORE UPDATE OF name, attributes ON member FOR EACH ROW
    WHEN (NEW.profile IS NOT DISTINCT FROM OLD.profile
          AND (NEW.name, NEW.attributes) IS DISTINCT FROM (OLD.name, OLD.attributes))
    EXECUTE FUNCTION forget_profile();

CREATE FUNCTION forget_sealed_secrets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.sealed_secret := NULL;
    NEW.sealed_previous_secret := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER webhook_endpoint_plain_is_newer BEFORE UPDATE OF secret ON webhook_endpoint FOR EACH ROW
    WHEN (NEW.sealed_secret IS NOT DISTINCT FROM OLD.sealed_secret
          AND NEW.secret IS DISTINCT FROM OLD.secret)
    EXECUTE FUNCTION forget_sealed_secrets();
