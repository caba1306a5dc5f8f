"""Own the number of examples: a few that are the same in each run, or many with FUZZ=long."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IS_LONG = os.environ.get("FUZZ") == "long"
_TIMES = 100 if IS_LONG else 1


def bounded(examples: int) -> settings:
    """Return the settings of a test with this number of examples, or 100 times as many if long."""
    return settings(
        max_examples=examples * _TIMES,
        derandomize=not IS_LONG,
        database=None,
        # A busy machine must not fail a test; each response has its own deadline.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
