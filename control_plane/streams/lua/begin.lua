-- Create a stream and claim its first epoch in one step; the call id makes a retry of the same call answer the same.
-- KEYS: meta, request, leases. ARGV: sid, owner, request, call id, holder, lease ms.
local created_by = redis.call('HGET', KEYS[1], 'created_by')
if created_by == ARGV[4] then return {'OK', 1, 0} end
if created_by then return {'EXISTS'} end
local time = redis.call('TIME')
local lease_until = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[6]))
redis.call('SET', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'status', 'open', 'epoch', 1, 'next', 0, 'holder', ARGV[5],
  'lease_until', lease_until, 'lease_ms', ARGV[6], 'created_by', ARGV[4], 'claimed_by', ARGV[4])
redis.call('ZADD', KEYS[3], lease_until, ARGV[1])
return {'OK', 1, 0}
