-- Ended streams of one shard that nobody has sealed yet, the oldest first. KEYS: ended. ARGV: limit, age ms.
local time = redis.call('TIME')
local before_ms = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[2])
return {'OK', redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', before_ms), 'LIMIT', 0, ARGV[1])}
