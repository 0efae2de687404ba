-- Only the new code runs now: it seals, and writes no plain column any more. What still stands in them
-- is moved by `stampgate keys reseal`.
UPDATE installation SET is_sealing = true;
DROP TRIGGER member_plain_is_newer ON member;
DROP FUNCTION forget_profile();
DROP TRIGGER webhook_endpoint_plain_is_newer ON webhook_endpoint;
DROP FUNCTION forget_sealed_secrets();
