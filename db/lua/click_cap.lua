-- Admit clicks on a capped link: as many of n as the cap leaves.
-- KEYS  1 counter of the link, which is made when the link is published
-- ARGV  1 n   2 cap
-- Returns {admitted, used after}, or nil when there is no counter: it was lost, and only a rebuild
-- knows how much of the cap is used
local counter = redis.call('GET', KEYS[1])
if not counter then return nil end
local used = tonumber(counter)
local admitted = math.max(0, math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - used))
if admitted > 0 then used = redis.call('INCRBY', KEYS[1], admitted) end
return {admitted, used}
