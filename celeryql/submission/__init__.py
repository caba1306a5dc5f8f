"""From a call to Redis: build messages, accept tasks, cancel and retry them."""
