-- Publish a link's snapshot unless a newer one is there, and announce the slug.
-- KEYS  1 snapshot hash   2 change stream
-- ARGV  1 version   2 snapshot (empty: the slug is gone)   3 slug   4 changes to keep
-- Returns 1, or 0 when a version at least as new was there
local present = redis.call('HGET', KEYS[1], 'v')
if present and tonumber(present) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'b', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 's', ARGV[3])
return 1
