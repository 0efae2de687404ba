-- Awards, each under an idempotency key of its own.
-- args  1 name of the run   2 file with a member a line, in the order in which they are asked for
local here = debug.getinfo(1, 'S').source:match('^@(.*/)') or './'
dofile(here .. 'report.lua')

local threads = 0

function setup(thread)
    thread:set('thread_number', threads)
    threads = threads + 1
end

function init(args)
    prefix = args[1] .. '-' .. thread_number .. '-'
    members, count = {}, 0
    for line in io.lines(args[2]) do
        members[#members + 1] = line
    end
end

function request()
    count = count + 1
    wrk.headers['Idempotency-Key'] = prefix .. count
    local member = members[count % #members + 1]
    return wrk.format('POST', nil, nil, '{"member":"' .. member .. '","kind":"points","amount":10}')
end
