-- Fences entries: deletes their values and leases, and prevents new ones until `end`.
-- KEYS[3..] entries; ARGV[2] the writer's token, ARGV[3] its transaction.
-- Each writer has a number, by which `sweep` finds it if it dies. `first` is the lowest number
-- that may be in use.
local fields = {'last', 'schemas'}
for i = 3, #KEYS do
  fields[i] = 'fence:' .. KEYS[i]
end
local found = redis.call('HMGET', KEYS[2], unpack(fields))
local number = (tonumber(found[1]) or 0) + 1
local fence = ARGV[2] .. ',' .. ARGV[3] .. ',' .. redis.call('TIME')[1] .. ',' .. number
-- Deletions come first: a server without free memory does not refuse the writes of a script
-- after them.
for i = 3, #KEYS do
  local old = {}
  for schema in string.gmatch(found[2], '%S+') do
    old[#old + 1] = KEYS[i] .. schema
    old[#old + 1] = KEYS[i] .. schema .. ':lease'
  end
  redis.call('DEL', unpack(old))
end
local entries, set = {fence}, {'last', number}
for i = 3, #KEYS do
  entries[i - 1] = KEYS[i]
  set[#set + 1] = fields[i]
  set[#set + 1] = found[i] and found[i] .. ' ' .. fence or fence
end
redis.call('HSET', KEYS[2], 'writer:' .. number, table.concat(entries, ' '), unpack(set))
return {'begun'}
