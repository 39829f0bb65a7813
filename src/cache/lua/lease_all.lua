-- Grants the lease of each of several entries that has no value, no lease and no fence.
-- KEYS[3..] entries; ARGV[2] nonce, ARGV[3] the lifetime of the leases in milliseconds, ARGV[4]
-- the entry format.
if redis.call('HGET', KEYS[2], 'open') ~= '1' then
  return {'closed', redis.call('HGET', KEYS[2], 'barrier') or ''}
end
local granted = {}
for i = 3, #KEYS do
  local value = KEYS[i] .. ARGV[4]
  local free = redis.call('HEXISTS', KEYS[2], 'fence:' .. KEYS[i]) == 0
    and redis.call('EXISTS', value) == 0
    and redis.call('SET', value .. ':lease', ARGV[2], 'NX', 'PX', ARGV[3])
  granted[i - 2] = free and '1' or '0'
end
return {'leases', table.concat(granted)}
