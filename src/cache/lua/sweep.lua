-- Returns the writers that began at least ARGV[2] seconds ago and have not ended. Examines at
-- most ARGV[3] writers.
local now = tonumber(redis.call('TIME')[1])
local last = tonumber(redis.call('HGET', KEYS[2], 'last')) or 0
local first = tonumber(redis.call('HGET', KEYS[2], 'first')) or 1
local from = first
local left = {}
for number = from, math.min(last, from + tonumber(ARGV[3]) - 1) do
  local writer = redis.call('HGET', KEYS[2], 'writer:' .. number)
  if writer then
    local since = tonumber(string.match(writer, '^[^,]*,[^,]*,(%d+)')) or 0
    if now - since >= tonumber(ARGV[2]) and #left < 16 then
      left[#left + 1] = writer
    end
  elseif number == first then
    first = number + 1
  end
end
if first ~= from then
  redis.call('HDEL', KEYS[2], 'none')
  redis.call('HSET', KEYS[2], 'first', first)
end
return {'left', table.concat(left, '\n')}
