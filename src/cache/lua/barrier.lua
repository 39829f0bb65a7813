-- Sets the barrier of the generation: all transactions before ARGV[2] must have ended before it
-- may be filled. Only the first call sets it. Returns the barrier.
redis.call('HDEL', KEYS[2], 'none')
redis.call('HSETNX', KEYS[2], 'barrier', ARGV[2])
return {'barrier', redis.call('HGET', KEYS[2], 'barrier')}
