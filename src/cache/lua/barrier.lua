-- Which transactions must have ended before the generation may be filled: those before ARGV[2]. The first answer counts.
redis.call('HDEL', KEYS[2], 'none')
redis.call('HSETNX', KEYS[2], 'barrier', ARGV[2])
return {'barrier', redis.call('HGET', KEYS[2], 'barrier')}
