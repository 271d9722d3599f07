-- Take the worst case of one request from every limit of its key and its tenant, or nothing. The same sid again is the
-- same reservation. ARGV: prefix, shift, sid, epoch, tokens, cost, then for key and tenant: scope and its ten numbers
-- (requests and tokens a minute, concurrent; tokens and cost a day, a month, for ever; revision), -1 for no limit.
local sid, epoch, tokens, cost = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local scopes, limits = {ARGV[7], ARGV[18]}, {}
for i = 1, 2 do
  local given = {}
  for j = 1, 10 do given[j] = tonumber(ARGV[7 + (i - 1) * 11 + j]) end
  limits[i] = given
end

local function rates()
  local told = {}
  for i, scope in ipairs(scopes) do
    local requests, used, reset_ms = minute(scope)
    told[i] = {limits[i][1], requests, limits[i][2], used, math.max(0, reset_ms)}
  end
  return told
end

local function granted(had)
  return {'OK', had.n, had.x, had.slot, had.day, had.month, rates()}
end

local life = redis.call('HMGET', KEYS[1], 'id', 'ready')
if not life[1] or life[1] ~= epoch then return {'EPOCH', life[1] or ''} end
local had = reservation(sid)
if had then return granted(had) end

local day, month = today(scopes)
local missing, slots = {}, {}
for i, scope in ipairs(scopes) do
  slots[i] = slide(scope)
  local budgeted = false
  for j = 4, 9 do budgeted = budgeted or limits[i][j] >= 0 end
  local loaded = redis.call('HMGET', prefix .. 's:' .. scope, 'rev', 'again')
  local again = tonumber(loaded[2] or 0)
  if not roll(scope, day, month) or tonumber(loaded[1]) < limits[i][10] or (again > 0 and now_ms >= again + LATE_MS) then
    if budgeted then missing[#missing + 1] = i end
  end
end
if #missing > 0 then
  local left_ms = tonumber(life[2]) - now_ms
  if left_ms > 0 then return {'WAIT', left_ms} end
  return {'LOAD', missing}
end

local windows = {'dt', 'mt', 'at', 'dx', 'mx', 'ax'}
for i, scope in ipairs(scopes) do
  local limit = limits[i]
  for j, window in ipairs(windows) do
    local most = limit[3 + j]
    if most >= 0 then
      local used = redis.call('HMGET', prefix .. 's:' .. scope, window, window .. 'r')
      local spent, reserved = tonumber(used[1]), tonumber(used[2])
      local asked = j <= 3 and tokens or cost
      if spent + reserved + asked > most or spent + reserved >= most then
        return {'BUDGET', i, window, most, spent, reserved, day, rates()}
      end
    end
  end
end
for i, scope in ipairs(scopes) do
  local limit = limits[i]
  if limit[2] >= 0 and tokens > limit[2] then return {'LARGE', i, 'tokens', limit[2], rates()} end
  if limit[1] == 0 then return {'LARGE', i, 'requests', 0, rates()} end
  local requests, used = minute(scope)
  local wait_ms, what = 0, ''
  if limit[1] >= 0 and requests + 1 > limit[1] then
    wait_ms, what = wait_for(scope, 'r', requests + 1 - limit[1]), 'requests'
  end
  if limit[2] >= 0 and used + tokens > limit[2] then
    local longer = wait_for(scope, 't', used + tokens - limit[2])
    if longer > wait_ms then wait_ms, what = longer, 'tokens' end
  end
  if wait_ms > 0 then return {'RATE', i, what, what == 'requests' and limit[1] or limit[2], wait_ms, rates()} end
end
for i, scope in ipairs(scopes) do
  if limits[i][3] >= 0 and redis.call('SCARD', prefix .. 'o:' .. scope) >= limits[i][3] then
    return {'BUSY', i, limits[i][3], rates()}
  end
end

local slot = math.max(slots[1], slots[2])
open_reservation(sid, scopes, tokens, cost, slot, day, month)
for _, scope in ipairs(scopes) do note(scope, slot, 1, tokens) end
return granted(reservation(sid))
