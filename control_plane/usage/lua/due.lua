-- Reservations to look after, each for one asker at a time. ARGV: prefix, shift, limit.
local found = {}
for _, sid in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(now_ms), 'LIMIT', 0, ARGV[3])) do
  local had = redis.call('HMGET', prefix .. 'r:' .. sid, 'state', 'key', 'tenant', 'at', 'charge', 'day', 'n',
    'x')
  if had[1] == 'open' or had[1] == 'settled' then
    redis.call('ZADD', KEYS[2], int(now_ms + CHECK_MS), sid)
    found[#found + 1] = {sid, had[1], had[2], had[3], now_ms - tonumber(had[4]), had[5] or '', tonumber(had[6]),
      tonumber(had[7]), tonumber(had[8])}
  else
    redis.call('ZREM', KEYS[2], sid)
  end
end
return {'OK', found}
