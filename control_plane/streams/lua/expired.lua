-- Open streams of one shard whose lease ran out. The lease set holds old deadlines; those that were renewed since
-- are corrected here. KEYS: leases. ARGV: limit, prefix of the meta keys (same hash slot).
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, ARGV[1])
for _, sid in ipairs(due) do
  local meta = redis.call('HMGET', ARGV[2] .. sid, 'status', 'lease_until')
  if meta[1] ~= 'open' then
    redis.call('ZREM', KEYS[1], sid)
  elseif tonumber(meta[2]) > now_ms then
    redis.call('ZADD', KEYS[1], meta[2], sid)
  else
    found[#found + 1] = sid
  end
end
return {'OK', found}
