-- Forget the entries of an ended stream; what is left refuses the id for a while. UNLINK and PEXPIRE need no memory,
-- so this works when the server is full. KEYS: meta, log, request. ARGV: tombstone ms.
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return {'NONE'} end
if status == 'open' then return {'OPEN'} end
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {'OK'}
