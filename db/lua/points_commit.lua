-- Decide the items in order, then write: the stream entry first, so that what fails fails whole.
local answers, n = {'DONE'}, 0
for position = 1, items do
    local at, marker = 7 + (position - 1) * 8, KEYS[8 + position]
    local hash, asked_at, about, answer = ARGV[at + 3], ARGV[at + 5], ARGV[at + 6], nil
    local first = hash ~= '' and (markers[marker] or answered[position])
    if not first then
        local item = {field = ARGV[at + 1], amount = tonumber(ARGV[at + 2]), now = tonumber(asked_at), rules = ARGV[at + 7]}
        if about ~= '' then
            local bound, related = string.match(about, '^(%d+) (.*)$')
            item.bound, item.related = tonumber(bound), related
        end
        local status, amount, remainder, field = ops[ARGV[at]](item)
        answer = {status, amount or ''}
        if status == DONE then
            local balance = number(balances, field) or 0 -- a deleted member's hold
            n = n + 1
            events[n] = '\149' .. cmsgpack.pack(amount, balance, remainder, field) .. ARGV[at + 4]
            answer[2] = string.format('%s %.0f %.0f %s %.0f %.0f %s', ARGV[1], sequence + n, balance, asked_at,
                amount, remainder, field)
            if hash ~= '' then markers[marker] = hash .. answer[2] end
        end
    elseif string.sub(first, 1, 16) == hash then
        answer = {REPLAYED, string.sub(first, 17)}
    else
        answer = {REUSED, ''}
    end
    answers[position + 1] = answer
end
if n == 0 then return answers end

local packed = n < 16 and string.char(144 + n) or string.char(220, math.floor(n / 256), n % 256)
redis.call('XADD', KEYS[2], ARGV[1] .. '-' .. text(sequence + 1), 'e', packed .. table.concat(events))
redis.call('HSET', KEYS[1], 'seq', text(sequence + n))
write(balances)
if has_rules then
    write(last_stamps)
    write(leases)
    for position, hash in pairs(limits) do
        write(hash)
        redis.call('PEXPIRE', KEYS[position], 172800000) -- two days: the program's day and its time zone
    end
end
if has_others then
    write(holds)
    write(reversed)
    for hold, expiry in pairs(expiries) do
        if expiry then redis.call('ZADD', KEYS[5], text(expiry), hold) else redis.call('ZREM', KEYS[5], hold) end
    end
end
for marker, answer in pairs(markers) do
    redis.call('SET', marker, answer, 'PX', ARGV[4])
end
return answers
