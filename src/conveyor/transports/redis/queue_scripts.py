"""The scripts of queues.

ready    list      what nobody has had yet: content type and body, see `packed`
items    hash      by number: what has been leased once, wherever it is now
back     sorted    numbers, of what came back: these come first, in their order
leased   sorted    number:stamp:pid, by when the lease is over
delayed  sorted    numbers, by when they come back
tries    hash      by number: attempts:pid:why, of what has failed
dead     stream    what was given up
meta     hash      counters
bell, room         see BELLS
"""

from __future__ import annotations

from .common_scripts import BASE, BELLS, ONCE
from .script import Script

__all__ = ["CLEAR", "DEPTH", "EXTEND", "FIGURES", "PEEK", "PURGE", "SEND", "SETTLE", "TAKE"]

_ITEMS = """
local function count(field, by) return call('HINCRBY', key('meta'), field, by) end
local function size(item) return #item - 1 - string.byte(item, 1) end
local function waiting() return call('LLEN', key('ready')) + call('ZCARD', key('back')) end
local function has_failed(number, pid, why)
  local tries = call('HGET', key('tries'), number)
  local attempts = tries and tonumber(string.match(tries, '^%d+')) or 0
  call('HSET', key('tries'), number, string.format('%d', attempts + 1) .. ':' .. pid .. ':' .. why)
  count('redelivered', 1)
end
local function come_back(number, item)
  call('ZADD', key('back'), number, number)
  count('bytes', size(item))
end
local function parts(member) return string.match(member, '^(%d+):%d+:(%d+)$') end
-- Brings back what is due.
local function come_due()
  local time, came = now(), 0
  for _, member in ipairs(call('ZRANGEBYSCORE', key('leased'), '-inf', time, 'LIMIT', 0, 1000)) do
    call('ZREM', key('leased'), member)
    local number, pid = parts(member)
    local item = call('HGET', key('items'), number)
    if item then
      has_failed(number, pid, 'the lease was over')
      come_back(number, item)
      came = came + 1
    end
  end
  for _, number in ipairs(call('ZRANGEBYSCORE', key('delayed'), '-inf', time, 'LIMIT', 0, 1000)) do
    call('ZREM', key('delayed'), number)
    local item = call('HGET', key('items'), number)
    if item then
      come_back(number, item)
      came = came + 1
    end
  end
  if came > 0 then ring('bell', came) end
  return time
end
local function first_score(name)
  local found = call('ZRANGE', key(name), 0, 0, 'WITHSCORES')
  return tonumber(found[2]) or math.huge
end
"""

# ARGV: thread, call, maxsize, max_bytes, items.
# Returns how many were put; -1: it is at its end; -2: it was removed.
SEND = Script(
    BASE,
    BELLS,
    ONCE,
    _ITEMS,
    """
local ended = call('HGET', key('record'), 'ended')
if not ended then return -2 end
if ended == '1' then return -1 end
local first, last, sum = 5, #ARGV, 0
local most, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
if most > 0 or most_bytes > 0 then
  come_due()
  local ahead = waiting()
  local bytes = tonumber(call('HGET', key('meta'), 'bytes') or 0)
  for i = first, #ARGV do
    if most > 0 and ahead >= most or most_bytes > 0 and ahead > 0 and bytes + size(ARGV[i]) > most_bytes then
      last = i - 1
      break
    end
    ahead, bytes = ahead + 1, bytes + size(ARGV[i])
  end
  if last < first then return 0 end
end
for i = first, last, 1000 do call('RPUSH', key('ready'), unpack(ARGV, i, math.min(i + 999, last))) end
for i = first, last do sum = sum + size(ARGV[i]) end
local put = last - first + 1
count('bytes', sum)
count('bytes_in', sum)
count('items_in', put)
ring('bell', put)
return done(put)
""",
)

# ARGV: thread, call, most, milliseconds of the leases or '' to take for good, pid, whether there are bounds.
# Returns {item, tries, ...} for what is taken, {member, item, tries, ...} for leases;
# or a number of milliseconds after which something may come; -1: it is at its end; -2: it was removed.
TAKE = Script(
    BASE,
    BELLS,
    ONCE,
    _ITEMS,
    """
local time, most, for_good = come_due(), tonumber(ARGV[3]), ARGV[4] == ''
local found, sum, taken = {}, 0, 0
local stamp, over
local function hand(number, item)
  taken, sum = taken + 1, sum + size(item)
  local tries = number and call('HGET', key('tries'), number) or ''
  if for_good then
    if number then
      call('HDEL', key('items'), number)
      call('HDEL', key('tries'), number)
    end
  else
    if not number then
      number = string.format('%d', count('number', 1))
      call('HSET', key('items'), number, item)
    end
    local member = number .. stamp
    call('ZADD', key('leased'), over, member)
    found[#found + 1] = member
  end
  found[#found + 1] = item
  found[#found + 1] = tries
end
if waiting() > 0 then
  if not for_good then
    stamp, over = ':' .. string.format('%d', count('stamp', 1)) .. ':' .. ARGV[5], time + tonumber(ARGV[4])
  end
  local back = call('ZPOPMIN', key('back'), most)
  for i = 1, #back, 2 do
    local item = call('HGET', key('items'), back[i])
    if item then hand(back[i], item) end
  end
  if taken < most then
    for _, item in ipairs(call('LPOP', key('ready'), most - taken) or {}) do hand(nil, item) end
  end
end
if taken == 0 then
  local ended = call('HGET', key('record'), 'ended')
  if not ended then return -2 end
  if ended == '1' then return -1 end
  call('DEL', key('bell'))  -- for nothing
  local due = math.min(first_score('leased'), first_score('delayed')) - time
  return math.floor(math.min(math.max(due, 1), 60000))
end
count('bytes', 0 - sum)  -- not -0, which is no integer
if ARGV[6] == '1' then ring('room', taken) end
if call('EXISTS', key('bell')) == 0 and waiting() > 0 then ring('bell', 1) end
if not for_good then return found end
count('items_out', taken)
count('bytes_out', sum)
return done(found)
""",
)

# ARGV: most. Returns {item, tries, ...} of what would be taken next.
PEEK = Script(
    BASE,
    BELLS,
    _ITEMS,
    """
come_due()
local most, found = tonumber(ARGV[1]), {}
for _, number in ipairs(call('ZRANGE', key('back'), 0, most - 1)) do
  local item = call('HGET', key('items'), number)
  if item then
    found[#found + 1] = item
    found[#found + 1] = call('HGET', key('tries'), number) or ''
  end
end
local left = most - #found / 2
if left > 0 then
  for _, item in ipairs(call('LRANGE', key('ready'), 0, left - 1)) do
    found[#found + 1] = item
    found[#found + 1] = ''
  end
end
return found
""",
)

# ARGV: thread, call, 'acknowledge', 'release' or 'bury', milliseconds of delay, whether it is counted, why, members.
# Returns the places, from 0, of those that are not ours any more.
SETTLE = Script(
    BASE,
    BELLS,
    ONCE,
    _ITEMS,
    """
local time, what, delay = come_due(), ARGV[3], tonumber(ARGV[4])
local lost, came, settled = {}, 0, 0
for i = 7, #ARGV do
  if call('ZREM', key('leased'), ARGV[i]) == 0 then
    lost[#lost + 1] = i - 7
  else
    settled = settled + 1
    local number, pid = parts(ARGV[i])
    local item = call('HGET', key('items'), number)  -- nil: it was dropped meanwhile
    if item and what == 'release' then
      if ARGV[5] == '1' then has_failed(number, pid, ARGV[6]) end
      if delay > 0 then
        call('ZADD', key('delayed'), time + delay, number)
      else
        come_back(number, item)
      end
      came = came + 1
    elseif item then
      if what == 'bury' then
        local tries = call('HGET', key('tries'), number)
        local attempts = (tries and tonumber(string.match(tries, '^%d+')) or 0) + tonumber(ARGV[5])
        call('XADD', key('dead'), '*', 'item', item, 'why', ARGV[6], 'pid', pid,
             'attempts', string.format('%d', attempts))
      end
      call('HDEL', key('items'), number)
      call('HDEL', key('tries'), number)
      count('items_out', 1)
      count('bytes_out', size(item))
    end
  end
end
if call('HGET', key('record'), 'ended') == '1' then came = most_tokens end  -- perhaps that was the last
if came > 0 then ring('bell', came) end
if settled == 0 then return lost end
return done(lost)
""",
)

# ARGV: milliseconds, members. Returns as SETTLE.
EXTEND = Script(
    BASE,
    BELLS,
    _ITEMS,
    """
local over, lost = come_due() + tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  if call('ZSCORE', key('leased'), ARGV[i]) then
    call('ZADD', key('leased'), over, ARGV[i])
  else
    lost[#lost + 1] = i - 2
  end
end
return lost
""",
)

DEPTH = Script(
    BASE,
    BELLS,
    _ITEMS,
    """
come_due()
return {waiting(), call('ZCARD', key('leased')), call('ZCARD', key('delayed')),
        call('HGET', key('meta'), 'bytes') or '0'}
""",
)

# Returns how many have gone. What is leased may come back.
CLEAR = Script(
    BASE,
    BELLS,
    _ITEMS,
    """
come_due()
local count = waiting() + call('ZCARD', key('delayed'))
for _, name in ipairs({'back', 'delayed'}) do
  repeat
    local some = call('ZPOPMIN', key(name), 500)
    for i = 1, #some, 2 do
      call('HDEL', key('items'), some[i])
      call('HDEL', key('tries'), some[i])
    end
  until #some == 0
end
call('UNLINK', key('ready'))
call('HSET', key('meta'), 'bytes', 0)
ring('room', most_tokens)
ring('bell', most_tokens)  -- perhaps that was the last before the end
return count
""",
)

# What is leased stays so, without what comes back of it.
PURGE = Script(
    BASE,
    BELLS,
    """
for _, name in ipairs({'ready', 'back', 'delayed', 'items', 'tries'}) do call('UNLINK', key(name)) end
call('HSET', key('meta'), 'bytes', 0)
ring('room', most_tokens)
ring('bell', most_tokens)
""",
)

FIGURES = Script(
    BASE,
    BELLS,
    _ITEMS,
    """
come_due()
local counts = call('HMGET', key('meta'), 'items_in', 'items_out', 'bytes_in', 'bytes_out', 'redelivered')
for i = 1, 5 do counts[i] = tonumber(counts[i] or 0) end
counts[6] = call('ZCARD', key('back')) + call('ZCARD', key('delayed'))
counts[7] = call('XLEN', key('dead'))
return counts
""",
)
