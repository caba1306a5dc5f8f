-- What a client can call: one function for each name below, as `FCALL <name>_<version>`.
--
-- A flag says when Redis may run a function: `allow-oom` also while it is full (the function takes
-- no more memory than it frees), `no-writes` also while it is full and on a read-only replica.

local VERSION = require('version')

local function register(name, flag)
  redis.register_function{
    function_name = name .. '_' .. VERSION,
    callback = require(name),
    flags = {flag},
  }
end

-- Tasks
register('accept')
register('cancel')
register('write_state')
register('read_history', 'no-writes')
-- Messages
register('push_message')
register('take_message', 'allow-oom')
register('restore_message', 'allow-oom')
register('find_overdue')
-- Upkeep
register('renew_leases', 'allow-oom')
register('sweep')
