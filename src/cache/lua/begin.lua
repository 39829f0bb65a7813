-- Takes values and leases away, and keeps new ones off until `end`.
-- KEYS[3..] entries; ARGV[2] the writer's token, ARGV[3] its transaction.
local now = redis.call('TIME')
local fence = ARGV[2] .. ',' .. ARGV[3] .. ',' .. now[1]
local schemas = redis.call('HGET', KEYS[2], 'schemas')
-- A deletion first: after it a full server refuses nothing.
for i = 3, #KEYS do
  for schema in string.gmatch(schemas, '%S+') do
    redis.call('DEL', KEYS[i] .. schema, KEYS[i] .. schema .. ':lease')
  end
end
for i = 3, #KEYS do
  local field = 'fence:' .. KEYS[i]
  local others = redis.call('HGET', KEYS[2], field)
  redis.call('HSET', KEYS[2], field, others and others .. ' ' .. fence or fence)
end
return {'begun'}
