-- The generic cell rate algorithm, by the server's own clock: KEYS[1] is a bucket, which is full
-- when it has no key. ARGV: microseconds from drop to drop, the burst, how many drops, and how:
-- 'ask' takes all of them or none, 'fit' as many as there are, 'owe' all of them in any case.
-- Answers whether they were taken, how many are left, and in how many microseconds the call fits.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local step, burst, drops = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local span = step * burst

-- What is missing from the bucket, as the microseconds until it is full, and the moment of that.
local missing, at = 0, now
local kept = redis.call('GET', KEYS[1])
if kept then
  local level, moment = string.match(kept, '^([%d.]+) (%d+)$')
  missing, at = tonumber(level) or 0, tonumber(moment) or now
end
-- A clock that was set back takes nothing from anybody, and gives nothing either.
missing = math.max(missing - math.max(now - at, 0), 0)
-- What is owed has a bound, and so has what is left of a larger budget.
missing = math.min(missing, 2 * span)

local left = math.floor((span - missing) / step + 1e-6)
if ARGV[4] == 'fit' then drops = math.max(math.min(drops, left), 0) end
local after = missing + step * drops
local taken = ARGV[4] ~= 'ask' or drops <= left
if taken then
  missing = math.min(after, 2 * span)
  left = math.floor((span - missing) / step + 1e-6)
end
if taken or at > now then
  local life = string.format('%.0f', math.ceil(missing / 1000) + 1000)
  redis.call('SET', KEYS[1], string.format('%.6f %.0f', missing, now), 'PX', life)
end
return { taken and 1 or 0, math.max(left, 0), taken and 0 or math.ceil(after - span) }
