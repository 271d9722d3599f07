-- Open a stream, once; the call id makes a retry of the same call succeed again.
-- KEYS: meta, request, leases. ARGV: sid, owner, request, call id, grace ms before an unclaimed stream counts as expired.
local created_by = redis.call('HGET', KEYS[1], 'created_by')
if created_by == ARGV[4] then return {'OK'} end
if created_by then return {'EXISTS'} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'status', 'open', 'epoch', 0, 'next', 0, 'holder', '',
  'lease_until', 0, 'lease_ms', 0, 'created_by', ARGV[4], 'claimed_by', '')
redis.call('ZADD', KEYS[3], now_ms + tonumber(ARGV[5]), ARGV[1])
return {'OK'}
