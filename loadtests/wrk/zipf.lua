-- Visits of many links, in the order of a file.
-- args  1 file with a slug a line
local here = debug.getinfo(1, 'S').source:match('^@(.*/)') or './'
dofile(here .. 'report.lua')

function init(args)
    requests, count = {}, 0
    for slug in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format('GET', '/r/' .. slug)
    end
end

function request()
    count = count % #requests + 1
    return requests[count]
end
