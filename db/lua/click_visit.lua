-- Visit a click that the API made beforehand; only the first visit is counted.
-- KEYS  1 hash of the click
-- ARGV  1 now (ms)
-- Returns {packed click, 1 on the first visit else 0}, or nil when there is none
local packed = redis.call('HGET', KEYS[1], 'e')
if not packed then return nil end
return {packed, redis.call('HSETNX', KEYS[1], 'visited_at', ARGV[1])}
