"""How a task's body asks to be run again; `typed.py` does it."""

from __future__ import annotations


class Retryable(Exception):
    """Raised by a task's body: it failed this time, and may succeed if it is tried again.

    It is run again after a pause that doubles with each attempt, with jitter, until it has been run
    `maxAttempts` times.

    Args:
        message: what went wrong.
        after_s: how long to wait instead, in seconds.
    """

    def __init__(self, message: str = "", after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(message)
