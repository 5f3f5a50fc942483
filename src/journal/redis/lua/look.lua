#!lua flags=no-writes
-- KEYS: stream, snapshot, meta. Returns INFO of the server, the last id of the stream, what the snapshot
-- covers, and epoch, incarnation and format; false for what does not exist.
local last = false
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
return {
  redis.call('INFO', 'server', 'replication'),
  last,
  redis.call('HGET', KEYS[2], 'at'),
  redis.call('HMGET', KEYS[3], 'epoch', 'incarnation', 'format')
}
