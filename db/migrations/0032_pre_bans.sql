-- Members who are banned: no conversion becomes theirs, nothing is paid to them, nobody signs in.

ALTER TABLE member ADD COLUMN banned_at timestamptz;
CREATE INDEX member_banned ON member (program_id, id) WHERE banned_at IS NOT NULL;
