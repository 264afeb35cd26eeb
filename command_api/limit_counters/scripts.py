"""The scripts that Redis runs: the rule of `domain/limits/windows.py`, on counters that all share.

One script decides and counts for all scopes of a request, so that nothing comes between. A scope
is a hash: of each window its sum (`0s`), the oldest bucket in it (`0o`) and its buckets
(`0:1700000000`), and a burst (`bl`, `bt`); calls under way are a sorted set beside it. All keys
share one hash tag: the key of the system belongs to every request, so in a cluster all of them
must lie in one slot. The time is Redis' own.
"""

from __future__ import annotations

import hashlib

PREFIX = "gatewayz:{limits}:"
SINCE = PREFIX + "since"
"""Since when Redis counts, and whether the log was asked for what was before: `1700000000000:1`."""
ELECTED = PREFIX + "rebuilding"
MARK_LIFE_MS = 2 * 86_400_000

TIME = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

_SHARED = """
local SPAN = {60000, 3600000, 86400000}
local WIDTH = {1000, 60000, 900000}
local format = string.format
local function text(number) return format('%d', number) end
"""

_ADMIT = """
local call, floor, max, min = redis.call, math.floor, math.max, math.min
local function rolled(one, known)
  local buckets = SPAN[one.kind] / one.width
  local first = one.current - buckets
  local total, oldest = tonumber(known[one.at + 1]), tonumber(known[one.at + 2])
  if not total then return 0, first, true end
  if oldest >= first then return total, oldest, false end
  local names = {}
  for bucket = oldest, min(first - 1, oldest + buckets) do
    names[#names + 1] = one.gauge .. ':' .. bucket
  end
  for _, value in ipairs(call('HMGET', one.hash, unpack(names))) do
    total = total - (tonumber(value) or 0)
  end
  call('HDEL', one.hash, unpack(names))
  call('HSET', one.hash, one.gauge .. 's', total, one.gauge .. 'o', first)
  return total, first, false
end

local function window_wait(one, excess)
  local buckets = SPAN[one.kind] / one.width
  local names = {}
  for bucket = one.oldest, max(one.oldest, one.current) do
    names[#names + 1] = one.gauge .. ':' .. bucket
  end
  for place, value in ipairs(call('HMGET', one.hash, unpack(names))) do
    excess = excess - (tonumber(value) or 0)
    if excess <= 0 then return (one.oldest + place + buckets) * one.width - now end
  end
  return -1
end

local CURRENT, BUCKET = {}, {}
for kind = 1, 3 do
  CURRENT[kind] = floor(now / WIDTH[kind])
  BUCKET[kind] = text(CURRENT[kind])
end
local since = call('GET', KEYS[1])
if not since then
  since = now .. ':0'
  call('SET', KEYS[1], since, 'PX', 172800000)
end
local last = #ARGV
local requests, tokens, lease = tonumber(ARGV[last - 2]), tonumber(ARGV[last - 1]), ARGV[last]
local state, known = {}, {}
for at = 2, last - 3, 3 do
  local scope, gauge = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local name, hash = ARGV[at + 1], KEYS[2 * scope + 2]
  local fields, kind = known[hash], gauge % 3 + 1
  if not fields then
    fields = {}
    known[hash] = fields
  end
  local before = #fields
  local one = {
    scope = scope, gauge = gauge, limit = tonumber(ARGV[at + 2]), hash = hash, at = before,
    kind = kind, width = WIDTH[kind], current = CURRENT[kind], bucket = false, sum = name .. 's',
    used = 0, oldest = 0, new = false, amount = 0, stands = 0
  }
  state[#state + 1] = one
  if gauge < 6 then
    one.bucket = name .. ':' .. BUCKET[kind]
    fields[before + 1], fields[before + 2], fields[before + 3] = one.sum, name .. 'o', one.bucket
  elseif gauge == 6 then
    fields[before + 1], fields[before + 2] = 'bl', 'bt'
  end
end
for hash, fields in pairs(known) do
  if #fields > 0 then known[hash] = call('HMGET', hash, unpack(fields)) end
end

local longest, scope_refusing, gauge_refusing = 0, 0, 0
for _, one in ipairs(state) do
  local wait, limit, values = 0, one.limit, known[one.hash]
  if one.gauge == 6 then
    local left, stood = tonumber(values[one.at + 1]), tonumber(values[one.at + 2])
    if not left then left, stood = limit * 60000, now end
    local elapsed = min(max(now - stood, 0), 60000)
    one.used = min(limit * 60000, left + elapsed * limit)
    one.stands = max(now, stood)
    local missing = requests * 60000 - one.used
    if requests > 0 and missing > 0 then
      wait = limit > 0 and math.ceil(missing / limit) or -1
    end
  elseif one.gauge == 7 then
    local calls = KEYS[2 * one.scope + 3]
    call('ZREMRANGEBYSCORE', calls, '-inf', now)
    one.used = call('ZCARD', calls)
    if requests > 0 and one.used >= limit then wait = limit > 0 and 1000 or -1 end
  else
    one.amount = one.gauge < 3 and requests or tokens
    one.used, one.oldest, one.new = rolled(one, values)
    local excess = one.used + one.amount - limit
    if one.amount > 0 and excess > 0 then wait = window_wait(one, excess) end
  end
  if longest ~= -1 and (wait == -1 or wait > longest) then
    longest, scope_refusing, gauge_refusing = wait, one.scope, one.gauge
  end
end

local answer = {
  longest == 0 and 1 or 0, now, longest, scope_refusing, gauge_refusing, since
}
local writes, life = {}, {}
for _, one in ipairs(state) do
  if longest == 0 and requests + tokens > 0 then
    local write, lives = writes[one.hash] or {}, 0
    if one.gauge == 6 then
      one.used = one.used - requests * 60000
      write[#write + 1], write[#write + 2] = 'bl', one.used
      write[#write + 1], write[#write + 2] = 'bt', one.stands
      lives = 120000
    elseif one.gauge == 7 then
      if lease ~= '' then
        local calls = KEYS[2 * one.scope + 3]
        one.used = one.used + call('ZADD', calls, now + tonumber(ARGV[1]), lease)
        call('PEXPIRE', calls, 2 * tonumber(ARGV[1]))
      end
    elseif one.amount > 0 then
      local name, was = one.bucket, known[one.hash][one.at + 3]
      if one.oldest > one.current then
        name = one.gauge .. ':' .. one.oldest
        was = call('HGET', one.hash, name)
      end
      one.used = one.used + one.amount
      local at = #write
      write[at + 1], write[at + 2] = name, text((tonumber(was) or 0) + one.amount)
      write[at + 3], write[at + 4] = one.sum, text(one.used)
      if one.new then
        write[at + 5], write[at + 6] = one.gauge .. 'o', text(one.oldest)
      end
      lives = SPAN[one.kind] + 2 * one.width
    end
    if #write > 0 then
      writes[one.hash] = write
      life[one.hash] = max(life[one.hash] or 0, lives)
    end
  end
  answer[#answer + 1] = text(one.used)
end
for hash, write in pairs(writes) do
  call('HSET', hash, unpack(write))
  call('PEXPIRE', hash, life[hash])
end
return table.concat(answer, ' ')
"""

_SETTLE = """
for at = 1, #ARGV, 4 do
  local key, gauge = KEYS[tonumber(ARGV[at])], tonumber(ARGV[at + 1])
  local what, delta = ARGV[at + 2], tonumber(ARGV[at + 3])
  if gauge == 7 then
    if delta == 0 then
      redis.call('ZREM', key, what)
    else
      redis.call('ZADD', key, text(now + delta), what)
      redis.call('PEXPIRE', key, 2 * delta)
    end
  else
    local oldest = tonumber(redis.call('HGET', key, gauge .. 'o') or nil)
    if oldest and tonumber(what) >= oldest then
      local name = gauge .. ':' .. what
      local was = tonumber(redis.call('HGET', key, name) or '0')
      delta = math.max(delta, -was)
      redis.call('HSET', key, name, text(was + delta))
      redis.call('HINCRBY', key, gauge .. 's', text(delta))
    end
  end
end
return 'settled'
"""

_CARRY = """
local carried = 0
for at = 1, #ARGV, 4 do
  local key, gauge = KEYS[tonumber(ARGV[at])], tonumber(ARGV[at + 1])
  local age, amount = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local kind = gauge % 3 + 1
  local width = WIDTH[kind]
  local current = math.floor(now / width)
  local first = current - SPAN[kind] / width
  local bucket = math.floor((now - age) / width)
  if bucket >= first and bucket <= current then
    local oldest = tonumber(redis.call('HGET', key, gauge .. 'o') or nil)
    if not oldest or bucket < oldest then
      redis.call('HSET', key, gauge .. 'o', text(oldest and bucket or first))
    end
    redis.call('HINCRBY', key, gauge .. ':' .. text(bucket), text(amount))
    redis.call('HINCRBY', key, gauge .. 's', text(amount))
    local life = SPAN[kind] + 2 * width
    if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
    carried = carried + 1
  end
end
return text(carried)
"""

_REBUILT = """
if redis.call('GET', KEYS[1]) == ARGV[1] .. ':0' then
  redis.call('SET', KEYS[1], ARGV[1] .. ':1', 'PX', 172800000)
  return '1'
end
return '0'
"""


class Script:
    """One script: its source, and the name by which Redis knows it once it was loaded."""

    def __init__(self, body: str) -> None:
        """With the time and the windows in front."""
        self.source = (TIME + _SHARED + body).encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


ADMIT, SETTLE, CARRY, REBUILT = (Script(body) for body in (_ADMIT, _SETTLE, _CARRY, _REBUILT))
SCRIPTS = (ADMIT, SETTLE, CARRY, REBUILT)
