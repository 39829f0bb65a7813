-- Removes the fences of one writer. The caller is the writer or a reader.
-- KEYS[3..] entries; ARGV[2] the writer's token; ARGV[3] its number if these are all of its
-- entries, `own` to take the number from its fences, or empty.
local number = tonumber(ARGV[3])
local fields = {'first', 'last'}
for i = 3, #KEYS do
  fields[i] = 'fence:' .. KEYS[i]
end
local found = redis.call('HMGET', KEYS[2], unpack(fields))
local gone, set = {}, {}
for i = 3, #KEYS do
  local others = {}
  for fence in string.gmatch(found[i] or '', '%S+') do
    if string.sub(fence, 1, #ARGV[2] + 1) ~= ARGV[2] .. ',' then
      others[#others + 1] = fence
    elseif ARGV[3] == 'own' then
      number = tonumber(string.match(fence, ',(%d+)$'))
    end
  end
  if #others > 0 then
    set[#set + 1] = fields[i]
    set[#set + 1] = table.concat(others, ' ')
  else
    gone[#gone + 1] = fields[i]
  end
end
if number then
  gone[#gone + 1] = 'writer:' .. number
  local first = tonumber(found[1]) or 1
  if number == first then
    local last = tonumber(found[2]) or 0
    -- Skips the writers that have ended already, usually none.
    repeat
      first = first + 1
    until first > last or first > number + 100 or redis.call('HEXISTS', KEYS[2], 'writer:' .. first) == 1
    set[#set + 1] = 'first'
    set[#set + 1] = first
  end
end
if #gone > 0 then
  redis.call('HDEL', KEYS[2], unpack(gone))
end
if #set > 0 then
  redis.call('HSET', KEYS[2], unpack(set))
end
return {'ended'}
