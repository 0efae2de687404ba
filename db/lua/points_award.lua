-- Awards, and what rules say of them: the member's day, the interval between stamps, the leased
-- budget. The limit hash's field is the account field.
local limited
if has_rules then
    last_stamps, leases, limits = overlay(KEYS[7]), overlay(KEYS[8]), {}

    local function limit_hash(position)
        local hash = limits[position]
        if not hash then
            hash = overlay(KEYS[position])
            limits[position] = hash
        end
        return hash
    end

    -- Returns a refusal, or nothing and has staged its effects.
    function limited(item)
        local position, limit, interval, budget = string.match(item.rules, '^(%d+) (-?%d+) (%d+) (%d)$')
        limit, interval = tonumber(limit), tonumber(interval)
        local day, used
        if position ~= '0' then
            day = limit_hash(tonumber(position))
            used = number(day, item.field) or 0
            if limit >= 0 and used + item.amount > limit then
                return LIMIT, text(math.max(0, limit - used))
            end
        end
        if interval > 0 then
            local last = number(last_stamps, item.field)
            if last and item.now - last < interval then
                return INTERVAL, text(interval - item.now + last)
            end
        end
        if budget == '1' then
            local program = string.match(item.field, '^[^:]*') .. string.sub(item.field, -2)
            local lease = number(leases, program) or 0
            if lease < item.amount then return BUDGET, text(lease) end
            put(leases, program, lease - item.amount)
        end
        if day then put(day, item.field, used + item.amount) end
        if interval > 0 then put(last_stamps, item.field, item.now) end
    end
end

function ops.award(item)
    local before = number(balances, item.field)
    if not before then return UNKNOWN end
    if before + held(item.field) + item.amount >= LARGEST then return OVERFLOW end
    if item.rules ~= '' then
        local refusal, detail = limited(item)
        if refusal then return refusal, detail end
    end
    put(balances, item.field, before + item.amount)
    return DONE, item.amount, 0, item.field
end
