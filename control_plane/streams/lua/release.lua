-- Give the lease up at once, so that another may claim. KEYS: meta, leases. ARGV: sid, epoch.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch')
if not meta[1] then return {'NONE'} end
if meta[1] == 'open' and meta[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'lease_until', 0)
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
return {'OK'}
