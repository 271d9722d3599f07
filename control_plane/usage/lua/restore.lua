-- Take in again an open reservation that a loss of the counters swallowed. ARGV: prefix, shift, sid, key scope,
-- tenant scope, tokens, cost, slot, day, month.
local sid, scopes = ARGV[3], {ARGV[4], ARGV[5]}
if not reservation(sid) then
  for _, scope in ipairs(scopes) do roll(scope, today({scope})) end
  open_reservation(sid, scopes, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]),
    tonumber(ARGV[10]))
end
return {'OK'}
