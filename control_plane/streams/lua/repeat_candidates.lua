-- The candidates of one digest that are not too old: [sid, state, sid, state, …]. KEYS: candidates. ARGV: ttl ms.
local time = redis.call('TIME')
local oldest_ms = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local stored, found = redis.call('HGETALL', KEYS[1]), {}
for index = 1, #stored, 2 do
  if tonumber(string.sub(stored[index + 1], 2)) > oldest_ms then
    found[#found + 1] = stored[index]
    found[#found + 1] = string.sub(stored[index + 1], 1, 1)
  end
end
return {'OK', found}
