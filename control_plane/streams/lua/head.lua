-- Where a stream stands. A log that expired or was trimmed begins where it ends. KEYS: meta, log.
local meta = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'next', 'owner', 'holder', 'lease_until')
if not meta[1] then return {'NONE'} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local next_seq, first_seq, left_ms = tonumber(meta[3]), 0, 0
if redis.call('EXISTS', KEYS[2]) == 0 then first_seq = next_seq end
if meta[6] ~= '0' then left_ms = tonumber(meta[6]) - now_ms end
return {'OK', meta[1], tonumber(meta[2]), next_seq, first_seq, meta[4], meta[5], left_ms}
