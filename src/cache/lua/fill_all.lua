-- Stores each of several values, if its lease is still there and its entry is not fenced.
-- KEYS[3..] entries; ARGV[2] nonce, ARGV[3] the entry format, then for each entry its lifetime
-- in milliseconds and value.
local filled = {}
for i = 3, #KEYS do
  local value = KEYS[i] .. ARGV[3]
  local lease = value .. ':lease'
  local lives = ARGV[2 * i - 2]
  if read('GET', lease) == ARGV[2] and redis.call('HEXISTS', KEYS[2], 'fence:' .. KEYS[i]) == 0 then
    redis.call('DEL', lease)
    if lives ~= '0' then
      redis.call('SET', value, ARGV[2 * i - 1], 'PX', lives)
    end
    filled[i - 2] = '1'
  else
    filled[i - 2] = '0'
  end
end
return {'filled', table.concat(filled)}
