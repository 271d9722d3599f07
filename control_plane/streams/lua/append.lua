-- Fence, deduplicate, check for a gap, add, renew the lease, wake readers; with end = 1 also close: all in one step.
-- Sequence number n is stream id (n+1)-epoch. The lease set is a hint that expired.lua corrects, so it is left alone.
-- KEYS: meta, log, request, leases, ended. ARGV: sid, epoch, seq of the first payload, end, channel, keep ms, tombstone ms,
-- then the payloads.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'next', 'lease_ms')
if not meta[1] then return {'NONE'} end
if meta[2] ~= ARGV[2] then return {'STALE', tonumber(meta[2])} end
local seq, next_seq, last_seq = tonumber(ARGV[3]), tonumber(meta[3]), tonumber(ARGV[3]) + #ARGV - 8
for known = seq, math.min(next_seq - 1, last_seq) do
  local id = string.format('%.0f', known + 1)
  local stored = redis.call('XRANGE', KEYS[2], id, id, 'COUNT', 1)[1]
  if not stored or stored[2][2] ~= ARGV[8 + known - seq] then return {'DIVERGED', known} end
end
if last_seq < next_seq then return {'DUP', next_seq} end
if meta[1] ~= 'open' then return {'ENDED', meta[1]} end
if seq > next_seq then return {'GAP', next_seq} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for fresh = next_seq, last_seq do
  redis.call('XADD', KEYS[2], string.format('%.0f-', fresh + 1) .. ARGV[2], 'p', ARGV[8 + fresh - seq])
end
local next_id = string.format('%.0f', last_seq + 1)
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[1], 'next', next_id, 'status', 'done', 'lease_until', 0)
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZADD', KEYS[5], string.format('%.0f', now_ms), ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
else
  redis.call('HSET', KEYS[1], 'next', next_id, 'lease_until', string.format('%.0f', now_ms + tonumber(meta[4])))
end
redis.call('PUBLISH', ARGV[5], next_id)
return {'OK', last_seq + 1}
