-- Stores a value, if nothing has happened since the lease was granted. KEYS as for the lease;
-- ARGV[2] nonce, ARGV[3] the value's milliseconds, 0 to store none, ARGV[4] the value.
if read('GET', KEYS[5]) ~= ARGV[2] or redis.call('HEXISTS', KEYS[2], 'fence:' .. KEYS[3]) == 1 then
  return {'refused'}
end
redis.call('DEL', KEYS[5])
if ARGV[3] ~= '0' then
  redis.call('SET', KEYS[4], ARGV[4], 'PX', ARGV[3])
end
return {'filled'}
