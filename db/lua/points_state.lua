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
--       6 n, items; then 12 an item: operation, account field, amount, body hash (16 bytes), facts (msgpack),
--       related id, bound, position of the limit hash (0: none), limit a day, interval (ms), budget 0|1,
--       the time it was asked (ms), which its id carries
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

-- An overlay over one hash: what this batch has changed is seen by its later items.
local function overlay(key)
    local known, changed = {}, {}
    local hash = {}
    function hash.get(field)
        local value = known[field]
        if value == nil then
            value = redis.call('HGET', key, field)
            known[field] = value
        end
        return value
    end
    function hash.number(field)
        local value = hash.get(field)
        return value and tonumber(value)
    end
    function hash.set(field, value)
        known[field] = value
        changed[field] = value
    end
    function hash.write()
        local gone, pairs_ = {}, {}
        for field, value in pairs(changed) do
            if value then
                pairs_[#pairs_ + 1] = field
                pairs_[#pairs_ + 1] = value
            else
                gone[#gone + 1] = field
            end
        end
        if #pairs_ > 0 then redis.call('HSET', key, unpack(pairs_)) end
        if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
    end
    return hash
end

local balances, holds, reversed = overlay(KEYS[3]), overlay(KEYS[4]), overlay(KEYS[6])
local last_stamps, leases = overlay(KEYS[7]), overlay(KEYS[8])
local limits, expiries, markers, events = {}, {}, {}, {}
local ops = {}

local function limit_hash(position)
    local hash = limits[position]
    if not hash then
        hash = overlay(KEYS[position])
        limits[position] = hash
    end
    return hash
end

local function held(field) return balances.number(field .. 'h') or 0 end

local function hold_parts(value)
    local field, amount = string.match(value, '^(.*) (%d+)$')
    return field, tonumber(amount)
end
