"""The scripts that Redis runs: the rule of `domain/limits/windows.py`, on counters that all share.

One script decides and counts for all scopes of a request, so that nothing comes between; with it
comes what the caller's calls that ended since have used in the end. A scope is a hash. Its head
(`h`) is 26 doubles, exact up to 2^53, because one packed field is read and written many times
faster than as many fields: of each of six windows the sum, the oldest bucket in it, the newest that
was counted in and what that one holds; then what is left of the burst, and when it was. Beside it
stand the buckets that are not the newest (`0:1700000000`); calls under way are a sorted set. All
keys share one hash tag: the key of the system belongs to every request, so in a cluster all of them
must lie in one slot. The time is Redis' own.
"""

from __future__ import annotations

import hashlib

PREFIX = "gatewayz:{limits}:2:"
"""The number is that of the form: in another form all is counted anew, from the log."""
SINCE = PREFIX + "since"
"""Since when Redis counts, and whether the log was asked for what was before: `1700000000000:1`."""
ELECTED = PREFIX + "rebuilding"
MARK_LIFE_MS = 2 * 86_400_000

TIME = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

_SHARED = """
local call, floor, max, min = redis.call, math.floor, math.max, math.min
local SPAN = {60000, 3600000, 86400000}
local WIDTH = {1000, 60000, 900000}
local BUCKETS = {60, 60, 96}
local HEAD = '<dddddddddddddddddddddddddd'
local function text(number) return string.format('%.0f', number) end
local function field(gauge, bucket) return gauge .. ':' .. text(bucket) end
local function read(hash)
  local raw = call('HGET', hash, 'h')
  return raw and {struct.unpack(HEAD, raw)}
end
local function read_or_begin(hash)
  local head = read(hash) or {}
  for place = #head + 1, 26 do head[place] = 0 end
  return head
end
local function write(hash, head)
  call('HSET', hash, 'h', struct.pack(HEAD, unpack(head, 1, 26)))
end
local function add(hash, head, gauge, bucket, amount)
  local at = 4 * gauge + 1
  if bucket > head[at + 2] then
    if head[at + 3] ~= 0 then
      call('HINCRBY', hash, field(gauge, head[at + 2]), text(head[at + 3]))
    end
    head[at + 2], head[at + 3], head.moved = bucket, 0, true
  end
  if bucket == head[at + 2] then
    amount = max(amount, -head[at + 3])
    head[at + 3] = head[at + 3] + amount
  else
    local name = field(gauge, bucket)
    if amount < 0 then amount = max(amount, -tonumber(call('HGET', hash, name) or 0)) end
    call('HINCRBY', hash, name, text(amount))
  end
  head[at] = head[at] + amount
end
"""

_ADMIT = """
local function counts(hash, gauge, head, first, last)
  local names, found = {}, {}
  for bucket = first, last do names[#names + 1] = field(gauge, bucket) end
  for place, value in ipairs(call('HMGET', hash, unpack(names))) do
    found[place] = tonumber(value) or 0
  end
  local newest = head[4 * gauge + 3]
  if newest >= first and newest <= last then
    found[newest - first + 1] = found[newest - first + 1] + head[4 * gauge + 4]
  end
  return found, names
end

local function roll(hash, gauge, head, first)
  local at, buckets = 4 * gauge + 1, BUCKETS[gauge % 3 + 1]
  local last = min(first - 1, head[at + 1] + buckets)
  local found, names = counts(hash, gauge, head, head[at + 1], last)
  for _, value in ipairs(found) do head[at] = head[at] - value end
  if head[at + 2] <= last then head[at + 3] = 0 end
  head[at + 1] = first
  call('HDEL', hash, unpack(names))
end

local function wait_of(hash, gauge, head, excess)
  local oldest, kind = head[4 * gauge + 2], gauge % 3 + 1
  local last = max(oldest, floor(now / WIDTH[kind]))
  for place, value in ipairs((counts(hash, gauge, head, oldest, last))) do
    excess = excess - value
    if excess <= 0 then return (oldest + place + BUCKETS[kind]) * WIDTH[kind] - now end
  end
  return -1
end

local since = call('GET', KEYS[1])
if not since then
  since = now .. ':0'
  call('SET', KEYS[1], since, 'PX', 172800000)
end
local last = #ARGV
local ended = {}
for at, requests, tokens, lease in string.gmatch(ARGV[last - 3], '(%S+) (%S+) (%S+) (%S+)') do
  ended[#ended + 1] = {tonumber(at), tonumber(requests), tonumber(tokens), lease}
end
local requests, tokens, lease = tonumber(ARGV[last - 2]), tonumber(ARGV[last - 1]), ARGV[last]
local counting = requests + tokens > 0
local CURRENT = {floor(now / 1000), floor(now / 60000), floor(now / 900000)}
local heads, changed, lives, used = {}, {}, {}, {}
local longest, scope_refusing, gauge_refusing = 0, 0, 0

for at = 2, last - 4, 3 do
  local scope, gauge, limit = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local hash, head, wait, holds = KEYS[2 * scope + 2], heads[scope], 0, 0
  if not head then
    head = read_or_begin(hash)
    heads[scope], lives[scope] = head, 0
  end
  if gauge < 6 then
    local kind, place = gauge % 3 + 1, 4 * gauge + 1
    local first, amount = CURRENT[kind] - BUCKETS[kind], gauge < 3 and requests or tokens
    local known = head[place + 1] > 0
    if not known then
      head[place + 1] = first
    elseif head[place + 1] < first then
      roll(hash, gauge, head, first)
      changed[scope] = true
    end
    for _, each in ipairs(known and ended or {}) do
      local bucket, change = floor(each[1] / WIDTH[kind]), each[gauge < 3 and 2 or 3]
      if change ~= 0 and bucket >= head[place + 1] then
        add(hash, head, gauge, bucket, change)
        changed[scope] = true
      end
    end
    holds = head[place]
    local excess = holds + amount - limit
    if amount > 0 and excess > 0 then wait = wait_of(hash, gauge, head, excess) end
    lives[scope] = max(lives[scope], SPAN[kind] + 2 * WIDTH[kind])
  elseif gauge == 6 then
    local left, stood = head[25], head[26]
    if stood == 0 then left, stood = limit * 60000, now end
    holds = min(limit * 60000, left + min(max(now - stood, 0), 60000) * limit)
    head[25], head[26] = holds, max(now, stood)
    local missing = requests * 60000 - holds
    if requests > 0 and missing > 0 then
      wait = limit > 0 and math.ceil(missing / limit) or -1
    end
    lives[scope] = max(lives[scope], 120000)
  else
    local calls = KEYS[2 * scope + 3]
    for _, each in ipairs(ended) do call('ZREM', calls, each[4]) end
    call('ZREMRANGEBYSCORE', calls, '-inf', now)
    holds = call('ZCARD', calls)
    if requests > 0 and holds >= limit then wait = limit > 0 and 1000 or -1 end
  end
  used[#used + 1] = holds
  if longest ~= -1 and (wait == -1 or wait > longest) then
    longest, scope_refusing, gauge_refusing = wait, scope, gauge
  end
end

if longest == 0 and counting then
  local place = 0
  for at = 2, last - 4, 3 do
    local scope, gauge = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local head, amount = heads[scope], gauge < 3 and requests or tokens
    place = place + 1
    if gauge == 7 then
      if lease ~= '' then
        local calls = KEYS[2 * scope + 3]
        used[place] = used[place] + call('ZADD', calls, now + tonumber(ARGV[1]), lease)
        call('PEXPIRE', calls, 2 * tonumber(ARGV[1]))
      end
    elseif gauge == 6 then
      head[25] = head[25] - requests * 60000
      head.moved, used[place], changed[scope] = true, head[25], true
    elseif amount > 0 then
      local bucket = max(CURRENT[gauge % 3 + 1], head[4 * gauge + 2])
      add(KEYS[2 * scope + 2], head, gauge, bucket, amount)
      used[place], changed[scope] = head[4 * gauge + 1], true
    end
  end
end
for scope in pairs(changed) do
  write(KEYS[2 * scope + 2], heads[scope])
  if heads[scope].moved then call('PEXPIRE', KEYS[2 * scope + 2], lives[scope]) end
end
for place, holds in ipairs(used) do used[place] = text(holds) end
return table.concat({
  longest == 0 and 1 or 0, text(now), text(longest), scope_refusing, gauge_refusing, since,
  table.concat(used, ' ')
}, ' ')
"""

_RENEW = """
for at = 1, #ARGV, 3 do
  local key, lease, life = KEYS[tonumber(ARGV[at])], ARGV[at + 1], tonumber(ARGV[at + 2])
  call('ZADD', key, text(now + life), lease)
  call('PEXPIRE', key, 2 * life)
end
return 'renewed'
"""

_CARRY = """
local carried, heads, lives = 0, {}, {}
for at = 1, #ARGV, 4 do
  local key, gauge = KEYS[tonumber(ARGV[at])], tonumber(ARGV[at + 1])
  local age, amount = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local kind = gauge % 3 + 1
  local width, head = WIDTH[kind], heads[key] or read_or_begin(key)
  heads[key] = head
  local current, oldest = floor(now / width), 4 * gauge + 2
  local first, bucket = current - BUCKETS[kind], floor((now - age) / width)
  if bucket >= first and bucket <= current then
    if head[oldest] == 0 then
      head[oldest] = first
    elseif bucket < head[oldest] then
      head[oldest] = bucket
    end
    add(key, head, gauge, bucket, amount)
    lives[key] = max(lives[key] or 0, SPAN[kind] + 2 * width)
    carried = carried + 1
  end
end
for key, life in pairs(lives) do
  write(key, heads[key])
  if call('PTTL', key) < life then call('PEXPIRE', key, life) end
end
return text(carried)
"""

_REBUILT = """
if call('GET', KEYS[1]) == ARGV[1] .. ':0' then
  call('SET', KEYS[1], ARGV[1] .. ':1', 'PX', 172800000)
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


ADMIT, RENEW, CARRY, REBUILT = (Script(body) for body in (_ADMIT, _RENEW, _CARRY, _REBUILT))
SCRIPTS = (ADMIT, RENEW, CARRY, REBUILT)
