-- What must be known before a scope is loaded from the ledger: the count of its reservations, the date, the sids that
-- its counters hold themselves, the revision that is loaded and the ms until it is to be loaded once more (-1: none),
-- and the ms until anything may be loaded. ARGV: prefix, shift, scope.
local scope = ARGV[3]
local day, month = today({scope})
local had = redis.call('HMGET', prefix .. 's:' .. scope, 'v', 'rev', 'again')
local again = tonumber(had[3] or 0)
local wait_ms = math.max(0, tonumber(redis.call('HGET', KEYS[1], 'ready') or 0) - now_ms)
return {'OK', tonumber(had[1] or 0), day, month, redis.call('SUNION', prefix .. 'o:' .. scope, prefix .. 'u:' .. scope),
  tonumber(had[2] or -1), again > 0 and math.max(0, again - now_ms) or -1, wait_ms}
