-- End the stream with a cancel entry under a new epoch, so that no writer can follow it. Idempotent.
-- KEYS: meta, log, request, leases, ended. ARGV: sid, payload, channel, keep ms, tombstone ms.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'next')
if not meta[1] then return {'NONE'} end
local epoch, next_seq = tonumber(meta[2]), tonumber(meta[3])
if meta[1] ~= 'open' then return {'OK', next_seq - 1} end
local id = string.format('%.0f', next_seq + 1)
redis.call('XADD', KEYS[2], id .. '-' .. (epoch + 1), 'p', ARGV[2])
redis.call('HSET', KEYS[1], 'status', 'cancelled', 'epoch', epoch + 1, 'next', id, 'holder', '', 'lease_until', 0)
redis.call('ZREM', KEYS[4], ARGV[1])
local time = redis.call('TIME')
redis.call('ZADD', KEYS[5], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PUBLISH', ARGV[3], id)
return {'OK', next_seq}
