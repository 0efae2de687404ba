-- Points and stamps: decide up to 64 items of one partition, in order, in one atomic call.
-- This file fences the caller and opens an overlay over the state; the operations stage their
-- effects in it, and points_commit.lua writes them. Nothing is written before every check is done.
--
-- KEYS  1 head             2 stream            3 balances         4 open holds
--       5 hold expiries    6 reversed totals   7 last stamps      8 budget leases
--       9 … 8+n markers, one an item; then the limit hashes that items name by position
-- ARGV  1 generation       2 sequence that the caller has seen acknowledged
--       3 stream high water (entries)   4 marker ttl (ms)
--       5 run id of the server, as the caller knows it: a head that was opened on another run is
--         closed, until the flusher has looked whether anything was lost
--       6 n, items; then 8 an item: operation, account field, amount, body hash (16 bytes),
--         facts (msgpack), the time it was asked (ms), which its id carries; 'bound related' or '';
--         'position limit interval budget' of an award that rules limit, else '': the position of
--         the limit hash (0: none), the limit a day, the interval (ms), budget 0|1
-- Returns {'CLOSED'} | {'STALE', generation} | {'ROLLED_BACK', sequence} | {'FULL'}, having done
--       nothing, or {'DONE', {status, text}…}; text of statuses 0 and 1 is
--       'generation sequence balance time amount remainder account'
local head = redis.call('HMGET', KEYS[1], 'gen', 'seq', 'open', 'run')
if not head[1] or head[3] ~= '1' or head[4] ~= ARGV[5] then return {'CLOSED'} end
if head[1] ~= ARGV[1] then return {'STALE', head[1]} end
local sequence = tonumber(head[2])
if sequence < tonumber(ARGV[2]) then return {'ROLLED_BACK', head[2]} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return {'FULL'} end

local DONE, REPLAYED, REUSED, UNKNOWN, LIMIT, INTERVAL = 0, 1, 2, 3, 4, 5
local BUDGET, INSUFFICIENT, NEGATIVE, OVERFLOW, NOT_OPEN, EXCEEDED = 6, 7, 8, 9, 10, 11
local MORE_THAN_HELD = 12
local LARGEST = 9007199254740992 -- 2^53: beyond it Lua's numbers skip integers

local function text(number) return string.format('%.0f', number) end

-- What is known of one hash, and what this batch has changed in it: its later items see that.
local function overlay(key) return {key = key, known = {}, changed = {}} end

local function get(hash, field)
    local value = hash.known[field]
    if value == nil then
        value = redis.call('HGET', hash.key, field)
        hash.known[field] = value
    end
    return value
end

local function number(hash, field)
    local value = get(hash, field)
    return value and tonumber(value)
end

-- A value of false removes the field.
local function put(hash, field, value)
    hash.known[field] = value
    hash.changed[field] = value
end

local function write(hash)
    local values, gone = {}, {}
    for field, value in pairs(hash.changed) do
        if value then
            values[#values + 1] = field
            values[#values + 1] = type(value) == 'number' and text(value) or value
        else
            gone[#gone + 1] = field
        end
    end
    if #values > 0 then redis.call('HSET', hash.key, unpack(values)) end
    if #gone > 0 then redis.call('HDEL', hash.key, unpack(gone)) end
end

local balances, markers, events, ops = overlay(KEYS[3]), {}, {}, {}

-- What every item asks for is read at once.
local items = tonumber(ARGV[6])
local answered = redis.call('MGET', unpack(KEYS, 9, 8 + items))
local fields, has_rules, has_others = {}, false, false
for position = 0, items - 1 do
    local at = 7 + position * 8
    local field = ARGV[at + 1]
    fields[#fields + 1] = field
    fields[#fields + 1] = field .. 'h'
    if ARGV[at] ~= 'award' then has_others = true end
    if ARGV[at + 7] ~= '' then has_rules = true end
end
for place, value in ipairs(redis.call('HMGET', KEYS[3], unpack(fields))) do
    balances.known[fields[place]] = value
end

local function held(field) return number(balances, field .. 'h') or 0 end

-- Most calls are about plain awards, and each function that is made takes time: the next files make
-- theirs only for a call that needs them.
local last_stamps, leases, limits, holds, reversed, expiries
