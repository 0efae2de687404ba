-- Keep a click that the API made beforehand, until its visit or the end of its time.
-- KEYS  1 hash of the click
-- ARGV  1 packed click   2 ttl (s)
-- Returns 1
redis.call('HSET', KEYS[1], 'e', ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[2])
