-- Removes unused leases. KEYS[3..] leases; ARGV[2] nonce.
for i = 3, #KEYS do
  if read('GET', KEYS[i]) == ARGV[2] then
    redis.call('DEL', KEYS[i])
  end
end
return {'released'}
