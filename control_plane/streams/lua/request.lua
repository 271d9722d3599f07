-- The request snapshot. KEYS: request.
local request = redis.call('GET', KEYS[1])
if not request then return {'NONE'} end
return {'OK', request}
