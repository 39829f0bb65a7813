-- Removes the fences of one writer. The caller is the writer or a reader.
-- KEYS[3..] entries; ARGV[2] the writer's token; ARGV[3] its number if these are all of its entries, `own` to take the
-- number from its fences, or empty.
local number = tonumber(ARGV[3])
for i = 3, #KEYS do
  local field = 'fence:' .. KEYS[i]
  local others = {}
  for fence in string.gmatch(redis.call('HGET', KEYS[2], field) or '', '%S+') do
    if string.sub(fence, 1, #ARGV[2] + 1) ~= ARGV[2] .. ',' then
      others[#others + 1] = fence
    elseif ARGV[3] == 'own' then
      number = tonumber(string.match(fence, ',(%d+)$'))
    end
  end
  redis.call('HDEL', KEYS[2], field)
  if #others > 0 then
    redis.call('HSET', KEYS[2], field, table.concat(others, ' '))
  end
end
if number then
  redis.call('HDEL', KEYS[2], 'writer:' .. number)
  local first = tonumber(redis.call('HGET', KEYS[2], 'first')) or 1
  if number == first then
    local last = tonumber(redis.call('HGET', KEYS[2], 'last')) or 0
    -- Skips the writers that have ended already, usually none.
    repeat
      first = first + 1
    until first > last or first > number + 100 or redis.call('HEXISTS', KEYS[2], 'writer:' .. first) == 1
    redis.call('HSET', KEYS[2], 'first', first)
  end
end
return {'ended'}
