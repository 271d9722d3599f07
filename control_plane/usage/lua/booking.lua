-- Put before every other script of this folder. All keys of a script share one {shard} tag; ARGV[1] is their prefix,
-- ARGV[2] is added to the server's clock (0, but for tests that turn it). Numbers are integers below 2^53.
-- <prefix>epoch       id, ready (ms): names this life of the counters; gone after a loss
-- <prefix>due         sorted set of sids by the moment (ms) of their next check
-- <prefix>r:<sid>     one reservation: state open | settled | written, its scopes, what it took, what it used
-- <prefix>o:<scope>   set of open sids; <prefix>u:<scope> set of settled ones that the ledger does not have yet
-- <prefix>w:<scope>   the last minute by seconds: sums r and t, slots r:<s> and t:<s>, tail and head
-- <prefix>s:<scope>   v counts new reservations; with rev also spent and reserved of the day, the month and for ever
local prefix = ARGV[1]
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
local now_s = math.floor(now_ms / 1000)
local TOMBSTONE_MS, CHECK_MS, LATE_MS, WINDOW_S = 3600000, 10000, 10000, 60

-- Decimal digits; adding 0 makes a 0 of -0, which no command takes for an integer.
local function int(value) return string.format('%.0f', value + 0) end

-- Days since 1970 to yyyymm (Howard Hinnant, "chrono-compatible low-level date algorithms").
local function month_of(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return (yoe + era * 400 + (month <= 2 and 1 or 0)) * 100 + month
end

-- Today, and never a day before one that these scopes have seen: a clock that steps back opens no window again.
local function today(scopes)
  local day = math.floor(now_s / 86400)
  for _, scope in ipairs(scopes) do
    day = math.max(day, tonumber(redis.call('HGET', prefix .. 's:' .. scope, 'day') or 0))
  end
  return day, month_of(day)
end

-- Fields of a loaded scope: <window><t or x> is spent, <window><t or x>r reserved; windows d, m, a (for ever).
local function roll(scope, day, month)
  local key = prefix .. 's:' .. scope
  local had = redis.call('HMGET', key, 'rev', 'day', 'month')
  if not had[1] then return false end
  if tonumber(had[2]) < day then redis.call('HSET', key, 'day', day, 'dt', 0, 'dtr', 0, 'dx', 0, 'dxr', 0) end
  if tonumber(had[3]) < month then redis.call('HSET', key, 'month', month, 'mt', 0, 'mtr', 0, 'mx', 0, 'mxr', 0) end
  return true
end

-- Add to the windows that a reservation of (day, month) belongs to and that are still the current ones.
local function book(scope, day, month, suffix, tokens, cost)
  local key = prefix .. 's:' .. scope
  local had = redis.call('HMGET', key, 'rev', 'day', 'month')
  if not had[1] then return end
  local function add(window)
    redis.call('HINCRBY', key, window .. 't' .. suffix, int(tokens))
    redis.call('HINCRBY', key, window .. 'x' .. suffix, int(cost))
  end
  if tonumber(had[2]) == day then add('d') end
  if tonumber(had[3]) == month then add('m') end
  add('a')
end

-- The minute: a slot of one second counts until all of it is more than 60 s old.
local function slide(scope)
  local key = prefix .. 'w:' .. scope
  local ends = redis.call('HMGET', key, 'tail', 'head')
  if not ends[1] then return now_s end
  local tail, head = tonumber(ends[1]), tonumber(ends[2])
  local slot = math.max(now_s, head)
  if slot - head > WINDOW_S then redis.call('DEL', key) return slot end
  while tail < slot - WINDOW_S do
    local old = redis.call('HMGET', key, 'r:' .. tail, 't:' .. tail)
    if old[1] then
      redis.call('HINCRBY', key, 'r', int(-old[1]))
      redis.call('HINCRBY', key, 't', int(-old[2]))
      redis.call('HDEL', key, 'r:' .. tail, 't:' .. tail)
    end
    tail = tail + 1
  end
  redis.call('HSET', key, 'tail', int(tail))
  return slot
end

local function note(scope, slot, requests, tokens)
  local key = prefix .. 'w:' .. scope
  redis.call('HSETNX', key, 'tail', int(slot))
  redis.call('HSET', key, 'head', int(slot))
  redis.call('HINCRBY', key, 'r', requests)
  redis.call('HINCRBY', key, 't', int(tokens))
  redis.call('HINCRBY', key, 'r:' .. int(slot), requests)
  redis.call('HINCRBY', key, 't:' .. int(slot), int(tokens))
  redis.call('PEXPIRE', key, 180000)
end

-- Give back to the slot of a reservation, while it counts.
local function unnote(scope, slot, requests, tokens)
  local key = prefix .. 'w:' .. scope
  if redis.call('HEXISTS', key, 't:' .. int(slot)) == 0 then return end
  redis.call('HINCRBY', key, 'r', int(-requests))
  redis.call('HINCRBY', key, 't', int(-tokens))
  redis.call('HINCRBY', key, 'r:' .. int(slot), int(-requests))
  redis.call('HINCRBY', key, 't:' .. int(slot), int(-tokens))
end

-- Requests and tokens of the last minute, and the ms until nothing of them counts any more.
local function minute(scope)
  local key = prefix .. 'w:' .. scope
  local had = redis.call('HMGET', key, 'r', 't', 'head')
  if not had[1] then return 0, 0, 0 end
  return tonumber(had[1]), tonumber(had[2]), (tonumber(had[3]) + WINDOW_S + 1) * 1000 - now_ms
end

-- Ms until `need` of the sum in `field` (r or t) no longer counts.
local function wait_for(scope, field, need)
  local key = prefix .. 'w:' .. scope
  local ends = redis.call('HMGET', key, 'tail', 'head')
  local freed = 0
  for slot = tonumber(ends[1]), tonumber(ends[2]) do
    freed = freed + tonumber(redis.call('HGET', key, field .. ':' .. int(slot)) or 0)
    if freed >= need then return (slot + WINDOW_S + 1) * 1000 - now_ms end
  end
  return (WINDOW_S + 1) * 1000
end

local function reservation(sid)
  local names = {'state', 'key', 'tenant', 'n', 'x', 'slot', 'day', 'month'}
  local had = redis.call('HMGET', prefix .. 'r:' .. sid, unpack(names))
  if not had[1] then return nil end
  return {state = had[1], scopes = {had[2], had[3]}, n = tonumber(had[4]), x = tonumber(had[5]), slot = tonumber(had[6]),
    day = tonumber(had[7]), month = tonumber(had[8])}
end

local function open_reservation(sid, scopes, tokens, cost, slot, day, month)
  redis.call('HSET', prefix .. 'r:' .. sid, 'state', 'open', 'key', scopes[1], 'tenant', scopes[2], 'n', int(tokens),
    'x', int(cost), 'slot', int(slot), 'day', day, 'month', month, 'at', int(now_ms))
  redis.call('ZADD', prefix .. 'due', int(now_ms + CHECK_MS), sid)
  for _, scope in ipairs(scopes) do
    redis.call('SADD', prefix .. 'o:' .. scope, sid)
    redis.call('HINCRBY', prefix .. 's:' .. scope, 'v', 1)
    book(scope, day, month, 'r', tokens, cost)
  end
end
