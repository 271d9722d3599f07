-- An ended stream is in SQL now: its live copy needs no more than its usual time to live.
-- KEYS: log, request, ended. ARGV: sid, keep ms.
if redis.call('ZREM', KEYS[3], ARGV[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return {'OK'}
