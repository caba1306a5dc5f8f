-- Shared by every script: the time, which is that of Redis.

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)
local function as_text(number) return string.format('%.0f', number) end
local now = as_text(now_ms)
