-- Stores a value, if the lease is still there and the entry is not fenced. KEYS as for `lease`;
-- ARGV[2] nonce, ARGV[3] the lifetime in milliseconds, 0 to store nothing, ARGV[4] the value.
if read('GET', KEYS[5]) ~= ARGV[2] or redis.call('HEXISTS', KEYS[2], 'fence:' .. KEYS[3]) == 1 then
  return {'refused'}
end
redis.call('DEL', KEYS[5])
if ARGV[3] ~= '0' then
  redis.call('SET', KEYS[4], ARGV[4], 'PX', ARGV[3])
end
return {'filled'}
