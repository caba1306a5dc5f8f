"""Task definitions: a task's signature as models of its arguments and its result."""
