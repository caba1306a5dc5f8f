-- Renew what a worker holds and runs, or with no time left let it go.
-- The request names the `worker`, the `tags` that it holds, the `ids` that it runs, and for how long
-- from now on they are its own (`lease_ms`).

pass_when_full()
for _, tag in ipairs(request.tags) do
  redis.call('ZADD', 'unacked_index', 'XX', seconds_ago(0), tag)
end
for _, id in ipairs(request.ids) do
  local record = record_of(id)
  if record.lease and record.worker == request.worker then
    if request.lease_ms > 0 then
      save(id, {lease = as_text(now_ms + request.lease_ms)})
    else
      forget(id, 'lease')
    end
  end
end
