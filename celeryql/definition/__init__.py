"""A task's signature becomes models of its arguments and its result."""
