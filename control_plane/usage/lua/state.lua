-- Where a scope stands now. ARGV: prefix, shift, scope.
local scope = ARGV[3]
slide(scope)
local day, month = today({scope})
local loaded = roll(scope, day, month)
local requests, tokens, reset_ms = minute(scope)
local fields = {'dt', 'mt', 'at', 'dx', 'mx', 'ax', 'dtr', 'mtr', 'atr', 'dxr', 'mxr', 'axr'}
local sums = {}
if loaded then
  for i, value in ipairs(redis.call('HMGET', prefix .. 's:' .. scope, unpack(fields))) do sums[i] = tonumber(value) end
end
return {'OK', requests, tokens, math.max(0, reset_ms), redis.call('SCARD', prefix .. 'o:' .. scope), sums}
