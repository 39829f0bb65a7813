-- Returns the generation of this run of the server, or begins a new one.
-- KEYS[1] generation; ARGV[1] the server's run_id, ARGV[2] a proposed generation, ARGV[3] the
-- entry format, ARGV[4] the prefix of epochs, ARGV[5] the rule, ARGV[6] the timeline of the
-- database.
-- Rules: '0' begins a generation if there is none for this run, format and timeline; '1' begins
-- one in any case; '2' as '1', for a database that was restored to an earlier timeline. Under
-- '0' and '1' a caller on an earlier timeline than the recorded one is refused. A later timeline
-- makes all values old.
-- A key that has another type, because another client wrote it, is replaced.
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
