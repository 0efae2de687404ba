-- Admit clicks on a capped link: as many of n as the cap leaves.
-- KEYS  1 counter of the link
-- ARGV  1 n   2 cap
-- Returns {admitted, used after}
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local admitted = math.max(0, math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - used))
if admitted > 0 then used = redis.call('INCRBY', KEYS[1], admitted) end
return {admitted, used}
