-- Open a member's accounts at zero; balances that exist stay as they are.
-- KEYS  1 head   2 balances
-- ARGV  1 generation   2 … account fields
-- Returns {'CLOSED'} | {'STALE', generation} | {'DONE'}
local head = redis.call('HMGET', KEYS[1], 'gen', 'open')
if not head[1] or head[2] ~= '1' then return {'CLOSED'} end
if head[1] ~= ARGV[1] then return {'STALE', head[1]} end
for i = 2, #ARGV do
    redis.call('HSETNX', KEYS[2], ARGV[i], '0')
end
return {'DONE'}
