-- Take the next epoch; the call id makes a retry of the same call answer the same epoch.
-- KEYS: meta, leases. ARGV: sid, holder, lease ms, seen epoch, call id.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'next', 'holder', 'lease_until', 'claimed_by')
if not meta[1] then return {'NONE'} end
local epoch, next_seq = tonumber(meta[2]), tonumber(meta[3])
if meta[6] == ARGV[5] then return {'OK', epoch, next_seq} end
if meta[1] ~= 'open' then return {'ENDED', meta[1]} end
if epoch ~= tonumber(ARGV[4]) then return {'STALE', epoch} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(meta[5]) > now_ms and meta[4] ~= ARGV[2] then return {'LEASED', meta[4]} end
local lease_until = string.format('%.0f', now_ms + tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'epoch', epoch + 1, 'holder', ARGV[2], 'lease_ms', ARGV[3],
  'lease_until', lease_until, 'claimed_by', ARGV[5])
redis.call('ZADD', KEYS[2], lease_until, ARGV[1])
return {'OK', epoch + 1, next_seq}
