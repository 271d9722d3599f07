-- Make an answer a candidate for a retry, or say anew whether its reader is lost. The owner's oldest candidates go.
-- A member is "<digest>:<sid>"; a candidate's value is its state and the time in ms.
-- KEYS: candidates of this digest, the owner's members by time. ARGV: sid, state, member, prefix of the first key,
-- ttl ms, most candidates, length of a digest.
local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. now_ms)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], now_ms, ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', tonumber(now_ms) - tonumber(ARGV[5])))
if redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[6]) then
  local oldest, digest_length = redis.call('ZPOPMIN', KEYS[2])[1], tonumber(ARGV[7])
  redis.call('HDEL', ARGV[4] .. string.sub(oldest, 1, digest_length), string.sub(oldest, digest_length + 2))
end
return {'OK'}
