-- Spend from a rate (GCRA): as many as there are of `most`, or none when there are fewer than `least`.
-- KEYS  1 the moment, in µs, at which all that was spent is earned again; gone when that is past
-- ARGV  1 now (µs)   2 µs in which one is earned   3 how many may be saved up
--       4 least      5 most; below zero gives back what was spent and not used
-- Returns {spent, left, µs until `least` can be spent, µs until all are there again}
local now, each, quota = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local least, most = tonumber(ARGV[4]), tonumber(ARGV[5])
local paid = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local left = math.floor((now + quota * each - paid) / each)
local spent = math.min(most, left)
if most > 0 and spent < least then spent = 0 end
if spent ~= 0 then
    paid = math.max(now, paid + spent * each)
    left = math.min(quota, left - spent)
    if paid > now then
        -- A second more: clocks differ, and a key that is gone too early forgets what was spent.
        local ttl = math.ceil((paid - now) / 1000) + 1000
        redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', ttl)
    else
        redis.call('DEL', KEYS[1])
    end
end
local wait = 0
if spent == 0 and most > 0 then wait = paid + least * each - quota * each - now end
return {spent, math.max(0, left), math.max(0, wait), paid - now}
