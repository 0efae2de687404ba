-- Spends and holds: never below zero. A hold's id is minted by the caller of this script's commit
-- from (partition, generation, sequence), so that it carries its partition; here it is the sequence.
local function afford(item)
    local before = balances.number(item.field)
    if not before then return UNKNOWN end
    if before < 0 then return NEGATIVE, text(before) end
    if before < item.amount then return INSUFFICIENT, text(before) end
    return DONE, before
end

function ops.spend(item)
    local status, before = afford(item)
    if status ~= DONE then return status, before end
    balances.set(item.field, text(before - item.amount))
    return DONE, item.amount, 0, item.field
end

-- `bound` is the expiry (ms).
function ops.hold(item)
    local status, before = afford(item)
    if status ~= DONE then return status, before end
    local key = ARGV[1] .. '-' .. text(sequence + #events + 1)
    balances.set(item.field, text(before - item.amount))
    balances.set(item.field .. 'h', text(held(item.field) + item.amount))
    holds.set(key, item.field .. ' ' .. text(item.amount))
    expiries[key] = item.bound
    return DONE, item.amount, 0, item.field
end

-- `related` is the hold; the account field is the program that asks, which must own the hold.
local function open_hold(item)
    local value = holds.get(item.related)
    if not value then return nil end
    local field, amount = hold_parts(value)
    if string.sub(field, 1, #item.field + 1) ~= item.field .. ':' then return nil end
    return field, amount
end

local function close(item, field, amount, given_back)
    holds.set(item.related, false)
    expiries[item.related] = false
    local before = balances.number(field)
    if not before then return end -- the member was deleted: only the ledger keeps the account
    balances.set(field .. 'h', text(held(field) - amount))
    balances.set(field, text(before + given_back))
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
