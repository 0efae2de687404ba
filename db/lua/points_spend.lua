-- Spends and holds, never below zero, and reversals, which may be. A hold's id is minted by the caller
-- of this script's commit from (partition, generation, sequence), so that it carries its partition; here
-- it is the sequence.
if has_others then
holds, reversed, expiries = overlay(KEYS[4]), overlay(KEYS[6]), {}

local function hold_parts(value)
    local field, amount = string.match(value, '^(.*) (%d+)$')
    return field, tonumber(amount)
end

-- Reversal of an award, in whole (amount 0) or in part; it may take the balance below zero.
-- `related` is the award, `bound` its amount.
function ops.reverse(item)
    local before = number(balances, item.field)
    if not before then return UNKNOWN end
    local already = number(reversed, item.related) or 0
    local amount = item.amount > 0 and item.amount or item.bound - already
    if amount <= 0 or already + amount > item.bound then return EXCEEDED, text(item.bound - already) end
    if before - amount <= -LARGEST then return OVERFLOW end
    put(reversed, item.related, already + amount)
    put(balances, item.field, before - amount)
    return DONE, amount, 0, item.field
end

local function afford(item)
    local before = number(balances, item.field)
    if not before then return UNKNOWN end
    if before < 0 then return NEGATIVE, text(before) end
    if before < item.amount then return INSUFFICIENT, text(before) end
    return DONE, before
end

function ops.spend(item)
    local status, before = afford(item)
    if status ~= DONE then return status, before end
    put(balances, item.field, before - item.amount)
    return DONE, item.amount, 0, item.field
end

-- `bound` is the expiry (ms).
function ops.hold(item)
    local status, before = afford(item)
    if status ~= DONE then return status, before end
    local key = ARGV[1] .. '-' .. text(sequence + #events + 1)
    put(balances, item.field, before - item.amount)
    put(balances, item.field .. 'h', held(item.field) + item.amount)
    put(holds, key, item.field .. ' ' .. text(item.amount))
    expiries[key] = item.bound
    return DONE, item.amount, 0, item.field
end

-- `related` is the hold; the account field is the program that asks, which must own the hold.
local function open_hold(item)
    local value = get(holds, item.related)
    if not value then return nil end
    local field, amount = hold_parts(value)
    if string.sub(field, 1, #item.field + 1) ~= item.field .. ':' then return nil end
    return field, amount
end

local function close(item, field, amount, given_back)
    put(holds, item.related, false)
    expiries[item.related] = false
    local before = number(balances, field)
    if not before then return end -- the member was deleted: only the ledger keeps the account
    put(balances, field .. 'h', held(field) - amount)
    put(balances, field, before + given_back)
end

-- Capture takes `amount` (0: all) and gives the rest back; a hold past its expiry is not open.
function ops.capture(item)
    local field, amount = open_hold(item)
    if not field then return NOT_OPEN end
    if tonumber(redis.call('ZSCORE', KEYS[5], item.related) or 0) <= item.now and not expiries[item.related] then
        return NOT_OPEN
    end
    local taken = item.amount > 0 and item.amount or amount
    if taken > amount then return MORE_THAN_HELD, text(amount) end
    close(item, field, amount, amount - taken)
    return DONE, taken, amount - taken, field
end

function ops.release(item)
    local field, amount = open_hold(item)
    if not field then return NOT_OPEN end
    close(item, field, amount, amount)
    return DONE, amount, 0, field
end

ops.expire = ops.release
end
