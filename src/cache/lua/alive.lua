-- KEYS[1] generation, KEYS[2] its epoch, ARGV[1] the generation that the caller believes in.
-- A key of ours that somebody else has put another type under is as good as none.
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
