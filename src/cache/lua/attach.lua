-- The generation of this server run, or a new one.
-- KEYS[1] generation; ARGV: server's run_id and the database's timeline, a new generation, schema, prefix of epochs, '1' for a new one in any case.
-- What somebody else has put in our keys' places is no reason to fail.
local generation = redis.pcall('GET', KEYS[1])
if type(generation) ~= 'string' then
  generation = false
end
local schemas = ' ' .. ARGV[3] .. ' '
if generation then
  local epoch = ARGV[4] .. generation
  if redis.call('TYPE', epoch).ok ~= 'hash' then
    redis.call('DEL', epoch)
  end
  local known = redis.call('HGET', epoch, 'schemas') or ''
  if ARGV[5] ~= '1' and redis.call('HGET', epoch, 'run') == ARGV[1] then
    if not string.find(known, schemas, 1, true) then
      -- Written before anything that a full server could refuse.
      redis.call('HDEL', epoch, 'none')
      redis.call('HSET', epoch, 'schemas', known .. schemas)
    end
    return {generation}
  end
  redis.call('DEL', epoch)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', ARGV[4] .. ARGV[2], 'run', ARGV[1], 'open', '0', 'schemas', schemas)
redis.call('SET', KEYS[1], ARGV[2])
return {ARGV[2]}
