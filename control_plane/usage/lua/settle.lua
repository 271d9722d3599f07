-- Turn a reservation into what was used; what was not is free again. Once; a sid that never reserved (its key had no
-- limits then, or the counters were lost) is charged all the same.
-- ARGV: prefix, shift, sid, key scope, tenant scope, tokens, cost, charge (kept as it is for the ledger).
local sid, tokens, cost = ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[7])
local had = reservation(sid)
if had and had.state ~= 'open' then return {'OK', had.state} end
if not had then
  local scopes = {ARGV[4], ARGV[5]}
  local day, month = today(scopes)
  open_reservation(sid, scopes, 0, 0, 0, day, month)
  had = reservation(sid)
end
for _, scope in ipairs(had.scopes) do
  roll(scope, today({scope}))
  book(scope, had.day, had.month, 'r', -had.n, -had.x)
  book(scope, had.day, had.month, '', tokens, cost)
  unnote(scope, had.slot, 0, had.n - tokens)
  redis.call('SREM', prefix .. 'o:' .. scope, sid)
  redis.call('SADD', prefix .. 'u:' .. scope, sid)
end
redis.call('HSET', prefix .. 'r:' .. sid, 'state', 'settled', 'ut', int(tokens), 'ux', int(cost), 'charge', ARGV[8])
redis.call('ZADD', prefix .. 'due', int(now_ms + CHECK_MS), sid)
return {'OK', 'settled'}
