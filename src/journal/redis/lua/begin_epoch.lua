-- KEYS: stream, snapshot, meta.
-- ARGV: run id, replication id, expected last id ('' for no stream, 'empty' for no snapshot either),
--   id of the marker, the marker, epoch, incarnation, format, what the snapshot covers ('' for none), its
--   state.
-- Returns 'begun', 'raced' or 'incarnation'. Everything is read before anything is written, so that a key
-- of a foreign type stops the script before it has written a part.
local server = redis.call('INFO', 'server', 'replication')
local function says(name, value)
  return string.find(server, '\n' .. name .. ':' .. value .. '\r', 1, true)
end
if not (says('run_id', ARGV[1]) and says('master_replid', ARGV[2]) and says('role', 'master')) then
  return 'incarnation'
end
local last = ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
local covered = redis.call('HGET', KEYS[2], 'at')
local epoch = redis.call('HGET', KEYS[3], 'epoch')
if ARGV[3] == 'empty' then
  if last ~= '' or covered then return 'raced' end
elseif last ~= ARGV[3] then
  return 'raced'
end
if epoch and tonumber(epoch) >= tonumber(ARGV[6]) then return 'raced' end
redis.call('XADD', KEYS[1], ARGV[4], 'b', ARGV[5])
redis.call('HSET', KEYS[3], 'epoch', ARGV[6], 'incarnation', ARGV[7], 'format', ARGV[8])
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[2], 'at', ARGV[9], 'state', ARGV[10])
end
return 'begun'
