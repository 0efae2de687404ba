-- Attempts that may fail: at most so many failures, and tries under way, are remembered at a time.
-- KEYS  1 sorted set: a try or a failure by the moment, in µs, at which it is forgotten
-- ARGV  1 what: `try` remembers one unless there are too many, `look` only looks, `fail` makes a
--         failure of a try, or remembers one, `pass` forgets a try
--       2 now (µs)   3 how many   4 µs for which a failure is remembered   5 µs for a try
--       6 a name for the entry that no other has
-- Returns {1 go on, 0 too many; µs until the oldest is forgotten}
local what, now, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local failure_ttl, try_ttl = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
local known = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local function remember(letter, ttl)
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + ttl), letter .. ARGV[6])
    redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(failure_ttl, try_ttl) / 1000))
end
if what == 'fail' or what == 'pass' then
    for i = 1, #known, 2 do
        if string.sub(known[i], 1, 1) == 't' then
            redis.call('ZREM', KEYS[1], known[i])
            break
        end
    end
    if what == 'fail' then
        remember('f', failure_ttl)
        -- Of failures that raced past the look, the latest count.
        redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -most - 1)
    end
    return {1, 0}
end
if #known / 2 >= most then return {0, tonumber(known[2]) - now} end
if what == 'try' then remember('t', try_ttl) end
return {1, 0}
