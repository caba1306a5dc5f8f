"""An operation from its text to its answer, and the limits on it."""
