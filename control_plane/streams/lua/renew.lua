-- Keep the lease without an entry. KEYS: meta. ARGV: epoch.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'lease_ms')
if not meta[1] then return {'NONE'} end
if meta[2] ~= ARGV[1] then return {'STALE', tonumber(meta[2])} end
if meta[1] ~= 'open' then return {'ENDED', meta[1]} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'lease_until', string.format('%.0f', now_ms + tonumber(meta[3])))
return {'OK'}
