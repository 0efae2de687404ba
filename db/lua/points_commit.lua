-- Decide the items in order, then write: the stream entry first, so that what fails fails whole.
local function read_item(position)
    local at = 6 + (position - 1) * 12
    return {
        op = ARGV[at + 1], field = ARGV[at + 2], amount = tonumber(ARGV[at + 3]), hash = ARGV[at + 4],
        facts = ARGV[at + 5], related = ARGV[at + 6], bound = tonumber(ARGV[at + 7]),
        limit_position = tonumber(ARGV[at + 8]), limit = tonumber(ARGV[at + 9]),
        interval = tonumber(ARGV[at + 10]), budget = ARGV[at + 11] == '1', now = tonumber(ARGV[at + 12]),
        marker = KEYS[8 + position],
    }
end

local function decide(item)
    local answered = markers[item.marker]
    if answered == nil and item.hash ~= '' then answered = redis.call('GET', item.marker) end
    if answered then
        if string.sub(answered, 1, 16) ~= item.hash then return {REUSED, ''} end
        return {REPLAYED, string.sub(answered, 17)}
    end
    local status, amount, remainder, field = ops[item.op](item)
    if status ~= DONE then return {status, amount or ''} end
    local balance = balances.number(field) or 0 -- a deleted member's hold
    events[#events + 1] = '\149' .. cmsgpack.pack(amount) .. cmsgpack.pack(balance)
        .. cmsgpack.pack(remainder) .. cmsgpack.pack(field) .. item.facts
    local answer = table.concat({
        ARGV[1], text(sequence + #events), text(balance), text(item.now), text(amount),
        text(remainder), field,
    }, ' ')
    if item.hash ~= '' then markers[item.marker] = item.hash .. answer end
    return {DONE, answer}
end

local answers = {'DONE'}
for position = 1, tonumber(ARGV[6]) do
    answers[position + 1] = decide(read_item(position))
end
if #events == 0 then return answers end

local n = #events
local packed = n < 16 and string.char(144 + n) or string.char(220, math.floor(n / 256), n % 256)
redis.call('XADD', KEYS[2], ARGV[1] .. '-' .. text(sequence + 1), 'e', packed .. table.concat(events))
redis.call('HSET', KEYS[1], 'seq', text(sequence + n))
balances.write()
holds.write()
reversed.write()
last_stamps.write()
leases.write()
for position, hash in pairs(limits) do
    hash.write()
    redis.call('PEXPIRE', KEYS[position], 172800000) -- two days: the program's day and its time zone
end
for hold, expiry in pairs(expiries) do
    if expiry then redis.call('ZADD', KEYS[5], text(expiry), hold) else redis.call('ZREM', KEYS[5], hold) end
end
for marker, answer in pairs(markers) do
    redis.call('SET', marker, answer, 'PX', ARGV[4])
end
return answers
