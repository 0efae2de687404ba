-- Open a partition: at a generation that is new, or at the same one on another run of the server.
-- KEYS  1 head
-- ARGV  1 generation   2 last sequence   3 run id   4 1: the generation is new, 0: it stays
-- Returns 1, or 0 when the head has moved on since
local present = tonumber(redis.call('HGET', KEYS[1], 'gen') or '-1')
if ARGV[4] == '1' and present >= tonumber(ARGV[1]) then return 0 end
if ARGV[4] == '0' and present ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'gen', ARGV[1], 'open', '1', 'run', ARGV[3])
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'seq', ARGV[2]) end
return 1
