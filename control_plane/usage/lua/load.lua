-- Set what a scope has spent: the ledger's sums without the surveyed sids, and these sids as they are now. Done twice,
-- the second time after `again` ms, for ends that another gateway told the ledger while it did not know of the limit
-- yet. Nothing is done when another gateway did it meanwhile.
-- ARGV: prefix, shift, scope, revision, v, day, month, again ms, sums (dt, mt, at, dx, mx, ax), surveyed sids.
local scope, revision = ARGV[3], tonumber(ARGV[4])
local key = prefix .. 's:' .. scope
local day, month = today({scope})
local had = redis.call('HMGET', key, 'rev', 'again')
local known, again = tonumber(had[1] or -1), tonumber(had[2] or 0)
if known > revision or (known == revision and (again == 0 or again > now_ms)) then return {'OK'} end
if tonumber(redis.call('HGET', key, 'v') or 0) ~= tonumber(ARGV[5]) or day ~= tonumber(ARGV[6]) then return {'AGAIN'} end
again = known == revision and 0 or now_ms + tonumber(ARGV[8])
redis.call('HSET', key, 'rev', int(revision), 'again', int(again), 'day', day, 'month', month,
  'dt', ARGV[9], 'mt', ARGV[10], 'at', ARGV[11], 'dx', ARGV[12], 'mx', ARGV[13], 'ax', ARGV[14],
  'dtr', 0, 'mtr', 0, 'atr', 0, 'dxr', 0, 'mxr', 0, 'axr', 0)
for i = 15, #ARGV do
  local found = reservation(ARGV[i])
  if found and found.state == 'open' then
    book(scope, found.day, found.month, 'r', found.n, found.x)
  elseif found then
    local used = redis.call('HMGET', prefix .. 'r:' .. ARGV[i], 'ut', 'ux')
    book(scope, found.day, found.month, '', tonumber(used[1]), tonumber(used[2]))
  end
end
return {'OK'}
