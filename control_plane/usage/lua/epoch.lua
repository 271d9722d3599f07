-- The name of this life of the counters; a new one when there is none and a name is given. Budgets of a new life are
-- not asked before `delay` ms are over. ARGV: prefix, shift, name or empty, delay.
if ARGV[3] ~= '' and redis.call('HSETNX', KEYS[1], 'id', ARGV[3]) == 1 then
  redis.call('HSET', KEYS[1], 'ready', int(now_ms + tonumber(ARGV[4])))
end
return {'OK', redis.call('HGET', KEYS[1], 'id') or ''}
