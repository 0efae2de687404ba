-- Awards in batches, each item under an idempotency key of its own.
-- args  1 name of the run   2 file with a member a line   3 items in a batch
local here = debug.getinfo(1, 'S').source:match('^@(.*/)') or './'
dofile(here .. 'report.lua')

local threads = 0

function setup(thread)
    thread:set('thread_number', threads)
    threads = threads + 1
end

function init(args)
    prefix = args[1] .. '-' .. thread_number .. '-'
    members, count, size = {}, 0, tonumber(args[3])
    for line in io.lines(args[2]) do
        members[#members + 1] = line
    end
end

function request()
    local items = {}
    for place = 1, size do
        count = count + 1
        items[place] = '{"member":"' .. members[count % #members + 1]
            .. '","kind":"points","amount":10,"idempotency_key":"' .. prefix .. count .. '"}'
    end
    return wrk.format('POST', nil, nil, '{"items":[' .. table.concat(items, ',') .. ']}')
end
