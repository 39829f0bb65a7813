-- Gives a lease back unused. KEYS as for the lease; ARGV[2] nonce.
if read('GET', KEYS[5]) == ARGV[2] then
  redis.call('DEL', KEYS[5])
end
return {'released'}
