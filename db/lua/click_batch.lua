-- Record one batch of clicks and count it, once: a replay of the same batch does nothing.
-- KEYS  1 stream   2 live counts   3 bitmap of applied batches
-- ARGV  1 bit of this batch   2 ttl of the bitmap (s)   3 the packed batch   4 … field, clicks
-- Returns 1, or 0 when the batch had been applied
if redis.call('SETBIT', KEYS[3], ARGV[1], 1) == 1 then return 0 end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[3])
for i = 4, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
return 1
