"""The scripts that queues and topics have in common: the control record, and calls that are done once.

All keys begin with KEYS[1], which has a hash tag: `conveyor:{name}`.
"""

from __future__ import annotations

from .script import Script

__all__ = ["BASE", "BELLS", "DESTROY", "GROUPS", "ONCE", "READ_RECORD", "WRITE_RECORD", "base_key"]


def base_key(name: str) -> str:
    """What the keys of a queue or topic begin with."""
    return f"conveyor:{{{name}}}"


BASE = """
local call = redis.call
local function key(name) return KEYS[1] .. ':' .. name end
local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
"""

# Who waits for something pops a bell, a list; after that it looks whether it is there. Tokens are no more than a hint:
# nobody waits longer than a slice. `most` tokens are kept.
BELLS = """
local most_tokens = 64
local function ring(bell, count)
  local left = math.min(count, most_tokens - call('LLEN', key(bell)))
  for _ = 1, left do call('RPUSH', key(bell), '') end
end
"""

# ARGV[1] names a thread of a process, ARGV[2] a call of it. What is called again, because the answer was lost with the
# connection, is not done again: the answer was kept.
ONCE = """
local slot = KEYS[1] .. ':call:' .. ARGV[1]
local kept = call('GET', slot)
if kept then
  local answer = cmsgpack.unpack(kept)
  if answer[1] == ARGV[2] then return answer[2] end
end
local function done(answer)
  call('SET', slot, cmsgpack.pack({ARGV[2], answer}), 'PX', 600000)
  return answer
end
"""

# Of a topic: what its groups have lies under keys of their own, as that of queues does.
GROUPS = """
local function groups()
  local bases = {}
  for _, name in ipairs(call('SMEMBERS', key('groups'))) do bases[#bases + 1] = key('group:' .. name) .. ':' end
  return bases
end
local function ring_of(base, count)
  for _ = 1, math.min(count, 64 - call('LLEN', base .. 'bell')) do call('RPUSH', base .. 'bell', '') end
end
"""

READ_RECORD = Script(BASE, "return call('HMGET', key('record'), 'data', 'version')")

# ARGV: record, version or '', whether it is at its end.
WRITE_RECORD = Script(
    BASE,
    BELLS,
    GROUPS,
    """
local version = call('HGET', key('record'), 'version') or ''
if version ~= ARGV[2] then return 0 end
call('HSET', key('record'), 'data', ARGV[1], 'version', (tonumber(version) or 0) + 1, 'ended', ARGV[3])
if ARGV[3] == '1' then
  ring('bell', most_tokens)
  ring('room', most_tokens)
  for _, base in ipairs(groups()) do
    call('HSET', base .. 'record', 'ended', '1')
    ring_of(base, most_tokens)
  end
end
return 1
""",
)

DESTROY = Script(
    BASE,
    GROUPS,
    """
if call('EXISTS', key('record')) == 0 then return 0 end
for _, base in ipairs(groups()) do
  for _, name in ipairs({'record', 'meta', 'bell', 'room', 'ready', 'back', 'items', 'tries', 'leased', 'delayed',
                         'dead'}) do
    call('UNLINK', base .. name)
  end
end
for _, name in ipairs({'record', 'meta', 'bell', 'room', 'ready', 'back', 'items', 'tries', 'leased', 'delayed',
                       'dead', 'log', 'sizes', 'subscriptions', 'alive', 'groups'}) do
  call('UNLINK', key(name))
end
return 1
""",
)
