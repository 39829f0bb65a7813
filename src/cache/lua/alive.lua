-- KEYS[1] generation, KEYS[2] its epoch, ARGV[1] the generation that the caller believes in.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HEXISTS', KEYS[2], 'run') == 0 then
  return {'lost'}
end
