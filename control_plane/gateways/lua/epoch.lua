-- The next connection epoch of a node, over all gateways. KEYS: the node's counter. ARGV: at least, time to live in s.
local epoch = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])) + 1
redis.call('SET', KEYS[1], string.format('%.0f', epoch), 'EX', ARGV[2])
return epoch
