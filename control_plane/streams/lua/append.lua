-- Fence, deduplicate, check for a gap, add, renew the lease, wake readers; with end = 1 also close: all in one step.
-- Sequence number n is stream id (n+1)-epoch. The lease set is a hint that expired.lua corrects, so it is left alone.
-- KEYS: meta, log, request, leases. ARGV: sid, epoch, seq, payload, end, channel, keep ms, tombstone ms.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'next', 'lease_ms')
if not meta[1] then return {'NONE'} end
if meta[2] ~= ARGV[2] then return {'STALE', tonumber(meta[2])} end
local seq, next_seq = tonumber(ARGV[3]), tonumber(meta[3])
local id = string.format('%.0f', seq + 1)
if seq < next_seq then
  local stored = redis.call('XRANGE', KEYS[2], id, id, 'COUNT', 1)[1]
  if stored and stored[2][2] == ARGV[4] then return {'DUP', next_seq} end
  return {'DIVERGED', seq}
end
if meta[1] ~= 'open' then return {'ENDED', meta[1]} end
if seq > next_seq then return {'GAP', next_seq} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XADD', KEYS[2], id .. '-' .. ARGV[2], 'p', ARGV[4])
local lease_until = string.format('%.0f', now_ms + tonumber(meta[4]))
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[1], 'next', id, 'status', 'done', 'lease_until', 0)
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
  redis.call('PEXPIRE', KEYS[3], ARGV[7])
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
else
  redis.call('HSET', KEYS[1], 'next', id, 'lease_until', lease_until)
end
redis.call('PUBLISH', ARGV[6], id)
return {'OK', seq + 1}
