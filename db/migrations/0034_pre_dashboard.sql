-- no transaction
-- A program's clicks of some days are summed without reading those of its links one by one.

CREATE INDEX CONCURRENTLY click_daily_by_program ON click_daily (program_id, day);
