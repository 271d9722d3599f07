-- Everything that is alive: gateways, and the nodes of those. Entries of dead gateways are swept here.
-- KEYS: live gateways, owners of nodes, nodes. ARGV: prefix of the presence keys (same hash slot).
local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
local gateways, live = {}, {}
for _, gateway in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local presence = redis.call('GET', ARGV[1] .. gateway)
  if presence then
    live[gateway] = true
    gateways[#gateways + 1] = presence
  end
end
local nodes, owners = {}, redis.call('HGETALL', KEYS[2])
for at = 1, #owners, 2 do
  if live[string.match(owners[at + 1], '^%d+ (.*)$')] then
    nodes[#nodes + 1] = redis.call('HGET', KEYS[3], owners[at])
  else
    redis.call('HDEL', KEYS[2], owners[at])
    redis.call('HDEL', KEYS[3], owners[at])
  end
end
return {gateways, nodes}
