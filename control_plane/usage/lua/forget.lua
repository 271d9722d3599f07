-- The ledger has the charge of these sids. What stays of each is enough to know it again. ARGV: prefix, shift, sids.
for i = 3, #ARGV do
  local sid = ARGV[i]
  local had = reservation(sid)
  if had and had.state == 'settled' then
    for _, scope in ipairs(had.scopes) do redis.call('SREM', prefix .. 'u:' .. scope, sid) end
    redis.call('HDEL', prefix .. 'r:' .. sid, 'charge')
    redis.call('HSET', prefix .. 'r:' .. sid, 'state', 'written')
    redis.call('ZREM', prefix .. 'due', sid)
    redis.call('PEXPIRE', prefix .. 'r:' .. sid, TOMBSTONE_MS)
  end
end
return {'OK'}
