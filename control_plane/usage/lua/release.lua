-- Give a whole reservation back, and know nothing of it any more: its stream was never opened. ARGV: prefix, shift, sid.
local sid = ARGV[3]
local had = reservation(sid)
if had and had.state == 'open' then
  for _, scope in ipairs(had.scopes) do
    roll(scope, today({scope}))
    book(scope, had.day, had.month, 'r', -had.n, -had.x)
    unnote(scope, had.slot, 1, had.n)
    redis.call('SREM', prefix .. 'o:' .. scope, sid)
  end
  redis.call('ZREM', prefix .. 'due', sid)
  redis.call('DEL', prefix .. 'r:' .. sid)
end
return {'OK'}
