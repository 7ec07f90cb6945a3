-- Takes a shard over: from here on, no batch of an earlier epoch is applied.
--
-- KEYS[1] is the shard's state (hash of incarnation, checkpoint, epoch). ARGV[1..2] are the log's incarnation and the
-- epoch of the lease.
--
-- Answers with `claimed` and the checkpoint, or with what stands in the way (`incarnation`, `epoch`) and its value.
local state = redis.call('HMGET', KEYS[1], 'incarnation', 'checkpoint', 'epoch')
local incarnation, checkpoint, epoch = state[1], state[2] or '0', state[3] or '0'
if incarnation and incarnation ~= ARGV[1] then
  return {'incarnation', incarnation}
end
if tonumber(epoch) > tonumber(ARGV[2]) then
  return {'epoch', epoch}
end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'checkpoint', checkpoint, 'epoch', ARGV[2])
return {'claimed', checkpoint}
