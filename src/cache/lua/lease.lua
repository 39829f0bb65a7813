-- Grants the lease of an entry. KEYS[3] entry, KEYS[4] its value, KEYS[5] its lease;
-- ARGV[2] nonce, ARGV[3] the lifetime of the lease in milliseconds, ARGV[4] '1' to replace a
-- value that is there.
if redis.call('HGET', KEYS[2], 'open') ~= '1' then
  return {'closed', redis.call('HGET', KEYS[2], 'barrier') or ''}
end
local fences = redis.call('HGET', KEYS[2], 'fence:' .. KEYS[3])
if fences then
  return {'fenced', fences, redis.call('TIME')[1]}
end
if ARGV[4] ~= '1' then
  local value = read('GET', KEYS[4])
  if value then
    return {'value', value}
  end
end
if redis.call('SET', KEYS[5], ARGV[2], 'NX', 'PX', ARGV[3]) then
  return {'granted'}
end
return {'held'}
