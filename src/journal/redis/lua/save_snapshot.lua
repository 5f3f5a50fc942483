#!lua flags=allow-oom
-- KEYS: stream, snapshot, meta. ARGV: epoch, what the snapshot covers, the first record to keep, the state.
-- Without a state, the present snapshot stays and the script only trims.
-- Returns the result and how many records were trimmed. The script may exceed the memory limit, because
-- trimming is what frees memory.
local function parts(id)
  local epoch, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(number)
end
local function before(one, other)
  local epoch, number = parts(one)
  local other_epoch, other_number = parts(other)
  return epoch < other_epoch or (epoch == other_epoch and number < other_number)
end
local epoch = redis.call('HGET', KEYS[3], 'epoch')
if redis.call('EXISTS', KEYS[1]) == 0 or not epoch then return {'gone', 0} end
local info, last = redis.call('XINFO', 'STREAM', KEYS[1]), false
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
end
local at = ARGV[2]
local held = redis.call('HGET', KEYS[2], 'at')
if not tonumber(epoch) or (held and not parts(held)) then return {'corrupt', 0} end
if tonumber(epoch) > tonumber(ARGV[1]) then return {'ended', 0} end
if tonumber(epoch) < tonumber(ARGV[1]) or before(last, at) then return {'ahead', 0} end
local kept = ARGV[4] and (not held or before(held, at))
if kept then
  redis.call('HSET', KEYS[2], 'at', at, 'state', ARGV[4])
elseif held then
  at = held
else
  return {'older', 0}
end
-- Records that the snapshot does not cover stay, and so does the newest record: coordinators that are behind
-- notice it by that record.
local from, covered_epoch, covered = ARGV[3], parts(at)
local behind = string.format('%.0f-%.0f', covered_epoch, covered + 1)
if before(behind, from) then from = behind end
if before(last, from) then from = last end
return {kept and 'kept' or 'older', redis.call('XTRIM', KEYS[1], 'MINID', from)}
