#!lua
-- KEYS: seeding. ARGV: node, what it knows (an id), for how many milliseconds it is a candidate.
-- Returns node and id of every candidate, one after the other. Each has its own end. An end further away
-- than any node could have set it comes from a clock that jumped, and counts as over.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stands = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now + stands))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local all, standing = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local known, till = string.match(all[i + 1], '^(%d+%-%d+) (%d+)$')
  if known and tonumber(till) >= now and tonumber(till) <= now + stands then
    standing[#standing + 1] = all[i]
    standing[#standing + 1] = known
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return standing
