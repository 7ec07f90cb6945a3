-- Applies one batch to one shard, exactly once: increments, checkpoint and epoch move together or not at all.
-- All keys share a hash tag, so that they live in one slot.
--
-- KEYS[1] is the shard's state (hash of incarnation, epoch, checkpoint, and how far parked keys were written);
-- KEYS[2..] are the hashes of counters. ARGV[1..5] are the log's incarnation, the epoch of the lease, the field of the
-- state that moves, where it stands (0: nowhere yet), and where to it moves. Then, for each hash of counters in order: the
-- Unix second at which it expires (0: never), the number of its fields, and as many pairs of field and increment.
--
-- Answers with `applied`, or with what stands in the way (`incarnation`, `epoch`, `checkpoint`) and its value.
local state = redis.call('HMGET', KEYS[1], 'incarnation', 'epoch', ARGV[3])
local incarnation, epoch, checkpoint = state[1], state[2] or '0', state[3] or '0'
if incarnation and incarnation ~= ARGV[1] then
  return {'incarnation', incarnation}
end
if tonumber(epoch) > tonumber(ARGV[2]) then
  return {'epoch', epoch}
end
-- Compared as text: a position may be larger than a number of Lua is exact.
if checkpoint ~= ARGV[4] then
  return {'checkpoint', checkpoint}
end

local at = 6
for key = 2, #KEYS do
  local expires_at, fields = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, fields do
    redis.call('HINCRBY', KEYS[key], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  -- From the hour that is counted, not from now, so that applying again later changes nothing.
  if expires_at ~= '0' then
    redis.call('EXPIREAT', KEYS[key], expires_at)
  end
end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'epoch', ARGV[2], ARGV[3], ARGV[5])
return {'applied', ARGV[5]}
