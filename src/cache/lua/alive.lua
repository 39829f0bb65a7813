-- The beginning of each script but `attach`: checks that the caller's generation is the current
-- one.
-- KEYS[1] generation, KEYS[2] its epoch; ARGV[1] the caller's generation.
-- A key that has another type, because another client wrote it, counts as missing.
local function read(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if string.find(answer.err, 'WRONGTYPE', 1, true) then
      return false
    end
    return redis.call(...)
  end
  return answer
end
if read('GET', KEYS[1]) ~= ARGV[1] or read('HEXISTS', KEYS[2], 'schemas') ~= 1 then
  return {'lost'}
end
