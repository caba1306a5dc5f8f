"""Watch tasks, queues and workers as they change."""
