-- Fences entries: deletes their values and leases, and prevents new ones until `end`.
-- KEYS[3..] entries; ARGV[2] the writer's token, ARGV[3] its transaction.
-- Each writer has a number, by which `sweep` finds it if it dies. `first` is the lowest number that may be in use.
local now = redis.call('TIME')
local number = (tonumber(redis.call('HGET', KEYS[2], 'last')) or 0) + 1
local fence = ARGV[2] .. ',' .. ARGV[3] .. ',' .. now[1] .. ',' .. number
local schemas = redis.call('HGET', KEYS[2], 'schemas')
local entries = {fence}
-- Deletions come first: a server without free memory does not refuse the writes of a script after them.
for i = 3, #KEYS do
  for schema in string.gmatch(schemas, '%S+') do
    redis.call('DEL', KEYS[i] .. schema, KEYS[i] .. schema .. ':lease')
  end
  entries[i - 1] = KEYS[i]
end
for i = 3, #KEYS do
  local field = 'fence:' .. KEYS[i]
  local others = redis.call('HGET', KEYS[2], field)
  redis.call('HSET', KEYS[2], field, others and others .. ' ' .. fence or fence)
end
redis.call('HSET', KEYS[2], 'last', number, 'writer:' .. number, table.concat(entries, ' '))
return {'begun'}
