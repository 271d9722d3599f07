-- A gateway stops: its presence goes, and with the next view its nodes. KEYS: live gateways, own presence.
-- ARGV: gateway id.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 'OK'
