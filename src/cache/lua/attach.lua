-- The generation of this server run, or a new one.
-- KEYS[1] generation; ARGV: server's run_id, a new generation, schema, prefix of epochs, '1' for a new one in any case,
-- the database's timeline: with a later one everything is old, and who knows an earlier one must ask again, unless it
-- says '2' in place of '1': the database was restored.
-- What somebody else has put in our keys' places is no reason to fail.
local generation = redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1])
local schemas = ' ' .. ARGV[3] .. ' '
if generation then
  local epoch = ARGV[4] .. generation
  if redis.call('TYPE', epoch).ok ~= 'hash' then
    redis.call('DEL', epoch)
  end
  local known = redis.call('HGET', epoch, 'schemas') or ''
  local timeline = redis.call('HGET', epoch, 'timeline') or ''
  if ARGV[5] ~= '2' and (tonumber(timeline, 16) or 0) > tonumber(ARGV[6], 16) then
    return {'outdated', timeline}
  end
  if ARGV[5] == '0' and timeline == ARGV[6] and redis.call('HGET', epoch, 'run') == ARGV[1] then
    if not string.find(known, schemas, 1, true) then
      -- Written before anything that a full server could refuse.
      redis.call('HDEL', epoch, 'none')
      redis.call('HSET', epoch, 'schemas', known .. schemas)
    end
    return {'attached', generation}
  end
  redis.call('DEL', epoch)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', ARGV[4] .. ARGV[2], 'run', ARGV[1], 'timeline', ARGV[6], 'open', '0', 'schemas', schemas)
redis.call('SET', KEYS[1], ARGV[2])
return {'attached', ARGV[2]}
