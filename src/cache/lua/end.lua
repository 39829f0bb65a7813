-- Removes one writer's fences, whoever asks. KEYS[3..] entries; ARGV[2] the writer's token.
for i = 3, #KEYS do
  local field = 'fence:' .. KEYS[i]
  local others = {}
  for fence in string.gmatch(redis.call('HGET', KEYS[2], field) or '', '%S+') do
    if string.sub(fence, 1, #ARGV[2] + 1) ~= ARGV[2] .. ',' then
      others[#others + 1] = fence
    end
  end
  redis.call('HDEL', KEYS[2], field)
  if #others > 0 then
    redis.call('HSET', KEYS[2], field, table.concat(others, ' '))
  end
end
return {'ended'}
