-- Open streams of one shard, whoever holds them: for operators. KEYS: leases. ARGV: limit, prefix of the meta keys.
local found = {}
for _, sid in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)) do
  if redis.call('HGET', ARGV[2] .. sid, 'status') == 'open' then found[#found + 1] = sid end
end
return {'OK', found}
