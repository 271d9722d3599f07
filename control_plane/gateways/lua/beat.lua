-- A gateway is alive, some of its nodes came, some left. A node belongs to the highest connection epoch: an older one
-- never overwrites a newer one, and only the gateway and epoch that wrote an entry remove it.
-- KEYS: live gateways (sorted by when they vanish), owners of nodes, nodes, versions of topics, own presence.
-- ARGV: gateway id, time to live in ms, presence, number of nodes that came; for each: id, epoch, presence; then, for
-- each node that left: id, epoch.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local own = ARGV[1]
redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + tonumber(ARGV[2])), own)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms))
local superseded, at = {}, 5
for _ = 1, tonumber(ARGV[4]) do
  local node, epoch, presence = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  at = at + 3
  local held_epoch, holder = string.match(redis.call('HGET', KEYS[2], node) or '', '^(%d+) (.*)$')
  local theirs = held_epoch and holder ~= own and tonumber(held_epoch) >= epoch
  if theirs and redis.call('ZSCORE', KEYS[1], holder) then
    superseded[#superseded + 1] = node
    superseded[#superseded + 1] = tonumber(held_epoch)
  elseif not (held_epoch and tonumber(held_epoch) > epoch) then
    redis.call('HSET', KEYS[2], node, string.format('%.0f', epoch) .. ' ' .. own)
    redis.call('HSET', KEYS[3], node, presence)
  end
end
while at < #ARGV do
  local node, epoch = ARGV[at], ARGV[at + 1]
  at = at + 2
  if redis.call('HGET', KEYS[2], node) == epoch .. ' ' .. own then
    redis.call('HDEL', KEYS[2], node)
    redis.call('HDEL', KEYS[3], node)
  end
end
return {redis.call('ZRANGE', KEYS[1], 0, -1), superseded, redis.call('HGETALL', KEYS[4])}
