"""What a worker process does: run tasks, write their states, and report that it is alive."""
