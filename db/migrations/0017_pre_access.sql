-- In which language operators and members are written to, and how many tests of texts a program sent.

ALTER TABLE operator ADD COLUMN language text COLLATE "C" NOT NULL DEFAULT 'en';
ALTER TABLE member_export ADD COLUMN language text COLLATE "C" NOT NULL DEFAULT 'en';
CREATE INDEX notification_tests ON notification (program_id, created_at) WHERE recipient_kind = 'test';
