-- Name what workers hold and none has renewed: they are dead, or cut off.
-- ARGV: after how many seconds, how many at most. Returns the tags.

local visibility_timeout, most = tonumber(ARGV[1]), ARGV[2]
if is_after_outage(visibility_timeout * 1000) then return {} end
local before = seconds_ago(visibility_timeout)
return redis.call('ZRANGEBYSCORE', 'unacked_index', '-inf', before, 'LIMIT', 0, most)
