-- Take a candidate away; 1 for whoever did, 0 for everybody else. KEYS: candidates, the owner's members by time.
-- ARGV: sid, member. A call that is sent again because its answer was lost is told 0: better no one than two.
redis.call('ZREM', KEYS[2], ARGV[2])
return {'OK', redis.call('HDEL', KEYS[1], ARGV[1])}
