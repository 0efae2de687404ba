-- Look at balances, and at what was decided since PostgreSQL last heard, in one moment.
-- KEYS  1 head   2 stream   3 balances
-- ARGV  1 generation   2 last entry that PostgreSQL has   3 entries at most   4 … account fields
-- Returns {sequence, entries, balances}, or nil when the partition is closed or at another
-- generation, or when more entries wait
local head = redis.call('HMGET', KEYS[1], 'gen', 'seq', 'open')
if head[1] ~= ARGV[1] or head[3] ~= '1' then return nil end
if redis.call('XLEN', KEYS[2]) > tonumber(ARGV[3]) then return nil end
local entries = redis.call('XRANGE', KEYS[2], '(' .. ARGV[2], '+')
return {head[2], entries, redis.call('HMGET', KEYS[3], unpack(ARGV, 4))}
