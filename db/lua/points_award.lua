-- Award: the member's day, the interval between stamps, the program's leased budget, the balance.
-- `bound` is unused; the limit hash's field is the account field.
function ops.award(item)
    local before = balances.number(item.field)
    if not before then return UNKNOWN end
    if before + held(item.field) + item.amount >= LARGEST then return OVERFLOW end
    local day, used
    if item.limit_position > 0 then
        day = limit_hash(item.limit_position)
        used = day.number(item.field) or 0
        if item.limit >= 0 and used + item.amount > item.limit then
            return LIMIT, text(math.max(0, item.limit - used))
        end
    end
    if item.interval > 0 then
        local last = last_stamps.number(item.field)
        if last and item.now - last < item.interval then
            return INTERVAL, text(item.interval - item.now + last)
        end
    end
    local program = string.match(item.field, '^[^:]*') .. string.sub(item.field, -2)
    local lease
    if item.budget then
        lease = leases.number(program) or 0
        if lease < item.amount then return BUDGET, text(lease) end
    end
    if day then day.set(item.field, text(used + item.amount)) end
    if item.interval > 0 then last_stamps.set(item.field, text(item.now)) end
    if lease then leases.set(program, text(lease - item.amount)) end
    balances.set(item.field, text(before + item.amount))
    return DONE, item.amount, 0, item.field
end

-- Reversal of an award, in whole (amount 0) or in part; it may take the balance below zero.
-- `related` is the award, `bound` its amount.
function ops.reverse(item)
    local before = balances.number(item.field)
    if not before then return UNKNOWN end
    local already = reversed.number(item.related) or 0
    local amount = item.amount > 0 and item.amount or item.bound - already
    if amount <= 0 or already + amount > item.bound then return EXCEEDED, text(item.bound - already) end
    if before - amount <= -LARGEST then return OVERFLOW end
    reversed.set(item.related, text(already + amount))
    balances.set(item.field, text(before - amount))
    return DONE, amount, 0, item.field
end
