-- Free an idempotency key if it still stands for a stream. KEYS: values by key, keys by time. ARGV: key, sid.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and string.sub(held, 1, #ARGV[2]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return {'OK'}
