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
local function text(number) return string.format('%.0f', number) end
"""

_ADMIT = """
local function rolled(hash, gauge)
  local width = WIDTH[gauge % 3 + 1]
  local buckets = SPAN[gauge % 3 + 1] / width
  local first = math.floor(now / width) - buckets
  local known = redis.call('HMGET', hash, gauge .. 's', gauge .. 'o')
  if not known[1] then return 0, first, true end
  local total, oldest = tonumber(known[1]), tonumber(known[2])
  if oldest >= first then return total, oldest, false end
  local names = {}
  for bucket = oldest, math.min(first - 1, oldest + buckets) do
    names[#names + 1] = gauge .. ':' .. text(bucket)
  end
  for _, value in ipairs(redis.call('HMGET', hash, unpack(names))) do
    total = total - (tonumber(value) or 0)
  end
  redis.call('HDEL', hash, unpack(names))
  redis.call('HSET', hash, gauge .. 's', text(total), gauge .. 'o', text(first))
  return total, first, false
end

local function window_wait(hash, gauge, oldest, excess)
  local width = WIDTH[gauge % 3 + 1]
  local buckets = SPAN[gauge % 3 + 1] / width
  local names = {}
  for bucket = oldest, math.max(oldest, math.floor(now / width)) do
    names[#names + 1] = gauge .. ':' .. text(bucket)
  end
  for place, value in ipairs(redis.call('HMGET', hash, unpack(names))) do
    excess = excess - (tonumber(value) or 0)
    if excess <= 0 then return (oldest + place + buckets) * width - now end
  end
  return -1
end

local since = redis.call('GET', KEYS[1])
if not since then
  since = text(now) .. ':0'
  redis.call('SET', KEYS[1], since, 'PX', 172800000)
end
local last = #ARGV
local requests, tokens, lease = tonumber(ARGV[last - 2]), tonumber(ARGV[last - 1]), ARGV[last]
local state, longest, scope_refusing, gauge_refusing = {}, 0, 0, 0
for at = 2, last - 3, 3 do
  local scope, gauge, limit = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local hash, wait = KEYS[2 * scope + 2], 0
  local one = {hash = hash, gauge = gauge, scope = scope}
  if gauge == 6 then
    local known = redis.call('HMGET', hash, 'bl', 'bt')
    local left, stood = tonumber(known[1]), tonumber(known[2])
    if not left then left, stood = limit * 60000, now end
    local elapsed = math.min(math.max(now - stood, 0), 60000)
    one.used = math.min(limit * 60000, left + elapsed * limit)
    one.stands = math.max(now, stood)
    local missing = requests * 60000 - one.used
    if requests > 0 and missing > 0 then
      wait = limit > 0 and math.ceil(missing / limit) or -1
    end
  elseif gauge == 7 then
    local calls = KEYS[2 * scope + 3]
    redis.call('ZREMRANGEBYSCORE', calls, '-inf', text(now))
    one.used = redis.call('ZCARD', calls)
    if requests > 0 and one.used >= limit then wait = limit > 0 and 1000 or -1 end
  else
    local amount = gauge < 3 and requests or tokens
    local total, oldest, new = rolled(hash, gauge)
    one.used, one.oldest, one.new, one.amount = total, oldest, new, amount
    local excess = total + amount - limit
    if amount > 0 and excess > 0 then wait = window_wait(hash, gauge, oldest, excess) end
  end
  if longest ~= -1 and (wait == -1 or wait > longest) then
    longest, scope_refusing, gauge_refusing = wait, scope, gauge
  end
  state[#state + 1] = one
end
local answer = {
  longest == 0 and 1 or 0, text(now), text(longest), scope_refusing, gauge_refusing, since
}
local life = {}
for _, one in ipairs(state) do
  if longest == 0 and requests + tokens > 0 then
    if one.gauge == 6 then
      one.used = one.used - requests * 60000
      redis.call('HSET', one.hash, 'bl', text(one.used), 'bt', text(one.stands))
      life[one.hash] = math.max(life[one.hash] or 0, 120000)
    elseif one.gauge == 7 then
      if lease ~= '' then
        local calls = KEYS[2 * one.scope + 3]
        one.used = one.used + redis.call('ZADD', calls, text(now + tonumber(ARGV[1])), lease)
        redis.call('PEXPIRE', calls, 2 * tonumber(ARGV[1]))
      end
    elseif one.amount > 0 then
      local kind = one.gauge % 3 + 1
      local bucket = math.max(math.floor(now / WIDTH[kind]), one.oldest)
      one.used = one.used + one.amount
      redis.call('HINCRBY', one.hash, one.gauge .. ':' .. text(bucket), text(one.amount))
      if one.new then
        redis.call('HSET', one.hash, one.gauge .. 'o', text(one.oldest))
      end
      redis.call('HSET', one.hash, one.gauge .. 's', text(one.used))
      life[one.hash] = math.max(life[one.hash] or 0, SPAN[kind] + 2 * WIDTH[kind])
    end
  end
  answer[#answer + 1] = text(one.used)
end
for hash, ms in pairs(life) do redis.call('PEXPIRE', hash, ms) end
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
