-- Entries after a sequence number. KEYS: meta, log. ARGV: after, limit.
local next_seq = tonumber(redis.call('HGET', KEYS[1], 'next'))
if not next_seq then return {'NONE'} end
local after = tonumber(ARGV[1])
if after >= next_seq then return {'AHEAD', next_seq} end
if after + 1 == next_seq then return {'OK', {}} end
if redis.call('EXISTS', KEYS[2]) == 0 then return {'TRIMMED', next_seq} end
return {'OK', redis.call('XRANGE', KEYS[2], string.format('%.0f', after + 2), '+', 'COUNT', ARGV[2])}
