-- Opens the generation for fills: the transactions before its barrier ARGV[2] have ended.
if redis.call('HGET', KEYS[2], 'barrier') == ARGV[2] then
  redis.call('HDEL', KEYS[2], 'none')
  redis.call('HSET', KEYS[2], 'open', '1')
end
return {'open', redis.call('HGET', KEYS[2], 'open')}
