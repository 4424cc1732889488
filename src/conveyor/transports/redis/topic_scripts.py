"""The scripts of topics.

log             stream    the events; event number n has the id (n + 1)-0
sizes           list      how much each takes of max_bytes
subscriptions   hash      by id: mode:position
alive           sorted    ids, by when their process is taken for dead
groups          set       names; each has the keys of a queue under group:NAME
meta            hash      first, next: the numbers of the oldest event and of the next one; counters
room            see BELLS
"""

from __future__ import annotations

from .common_scripts import BASE, BELLS, GROUPS, ONCE
from .script import Script

__all__ = ["CLOSE", "JOIN_GROUP", "LAG", "LEAVE_GROUP", "PUBLISH", "SUBSCRIBE", "TOPIC_FIGURES", "TOUCH"]

_LOG = """
local function meta(field) return tonumber(call('HGET', key('meta'), field) or 0) end
local function text(number) return string.format('%d', number) end
-- Forgets subscriptions whose processes are dead.
local function bury()
  for _, id in ipairs(call('ZRANGEBYSCORE', key('alive'), '-inf', now())) do
    call('ZREM', key('alive'), id)
    call('HDEL', key('subscriptions'), id)
  end
end
"""

# ARGV: thread, call, max_bytes, keep or '', bytes that an event takes beside its own, key and event of each.
# Returns how many were published; -1: it is at its end; -2: it was removed.
PUBLISH = Script(
    BASE,
    ONCE,
    GROUPS,
    _LOG,
    """
local ended = call('HGET', key('record'), 'ended')
if not ended then return -2 end
if ended == '1' then return -1 end
bury()
local most, extra = tonumber(ARGV[3]), tonumber(ARGV[5])
local first, next, bytes = meta('first'), meta('next'), meta('bytes')
local held, read = math.huge, math.huge
for _, each in ipairs(call('HVALS', key('subscriptions'))) do
  local mode, position = string.match(each, '^(%a+):(%d+)$')
  position = tonumber(position)
  if mode == 'block' then held = math.min(held, position) end
  read = math.min(read, position)
end
local before = first
local function drop()
  bytes = bytes - tonumber(call('LPOP', key('sizes')))
  first = first + 1
end
local published, sum = 0, 0
for i = 6, #ARGV, 2 do
  local own = #ARGV[i + 1] - 1 - string.byte(ARGV[i + 1], 1)
  while bytes + own + extra > most and first < next and first < held do drop() end
  if bytes + own + extra > most then break end
  if ARGV[i] == '' then
    call('XADD', key('log'), text(next + 1) .. '-0', 'event', ARGV[i + 1])
  else
    call('XADD', key('log'), text(next + 1) .. '-0', 'event', ARGV[i + 1], 'key', ARGV[i])
  end
  call('RPUSH', key('sizes'), own + extra)
  next, bytes, sum, published = next + 1, bytes + own + extra, sum + own, published + 1
end
if ARGV[4] ~= '' then
  read = math.min(read, next) - tonumber(ARGV[4])
  while first < next and first < read do drop() end
end
if first > before then call('XTRIM', key('log'), 'MINID', text(first + 1) .. '-0') end
if published == 0 and first == before then return 0 end
call('HSET', key('meta'), 'first', text(first), 'next', text(next), 'bytes', text(bytes))
call('HINCRBY', key('meta'), 'bytes_published', text(sum))
if published == 0 then return 0 end
for _, base in ipairs(groups()) do
  for i = 1, published do call('RPUSH', base .. 'ready', ARGV[5 + 2 * i]) end
  for field, by in pairs({bytes = sum, bytes_in = sum, items_in = published}) do
    call('HINCRBY', base .. 'meta', field, text(by))
  end
  ring_of(base, published)
end
return done(published)
""",
)

# ARGV: id, mode, 'new', 'oldest' or a number, milliseconds until it is taken for dead.
# Returns position and how many events are missed; -2: it was removed.
SUBSCRIBE = Script(
    BASE,
    _LOG,
    """
if call('EXISTS', key('record')) == 0 then return -2 end
local first, next = meta('first'), meta('next')
local position = ARGV[3] == 'new' and next or ARGV[3] == 'oldest' and first or math.min(tonumber(ARGV[3]), next)
local missed = math.max(first - position, 0)
position = position + missed
call('HSET', key('subscriptions'), ARGV[1], ARGV[2] .. ':' .. text(position))
call('ZADD', key('alive'), now() + tonumber(ARGV[4]), ARGV[1])
return {position, missed}
""",
)

# ARGV: id, mode, position, milliseconds.
TOUCH = Script(
    BASE,
    BELLS,
    """
if call('EXISTS', key('record')) == 0 then return -2 end
call('HSET', key('subscriptions'), ARGV[1], ARGV[2] .. ':' .. ARGV[3])
call('ZADD', key('alive'), now() + tonumber(ARGV[4]), ARGV[1])
ring('room', 1)
return 0
""",
)

# ARGV: id.
CLOSE = Script(
    BASE,
    BELLS,
    """
call('HDEL', key('subscriptions'), ARGV[1])
call('ZREM', key('alive'), ARGV[1])
ring('room', most_tokens)
""",
)

# ARGV: name. Returns whether there is such a topic.
JOIN_GROUP = Script(
    BASE,
    """
local ended = call('HGET', key('record'), 'ended')
if not ended then return 0 end
call('SADD', key('groups'), ARGV[1])
call('HSET', key('group:' .. ARGV[1]) .. ':record', 'ended', ended)
return 1
""",
)

# ARGV: name. Returns whether there was such a group.
LEAVE_GROUP = Script(BASE, "return call('SREM', key('groups'), ARGV[1])")

# ARGV: position.
LAG = Script(BASE, _LOG, "return meta('next') - math.max(meta('first'), tonumber(ARGV[1]))")

TOPIC_FIGURES = Script(
    BASE,
    _LOG,
    """
bury()
return {meta('next'), meta('bytes_published'), meta('bytes'), meta('next') - meta('first'), call('ZCARD', key('alive'))}
""",
)
