"""How much is tried: the same few cases in each run, or, with FUZZ=long, many and others."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IS_LONG = os.environ.get("FUZZ") == "long"
_TIMES = 100 if IS_LONG else 1


def bounded(examples: int) -> settings:
    """Give the settings of a test that tries so many cases where it is not to try more."""
    return settings(
        max_examples=examples * _TIMES,
        derandomize=not IS_LONG,
        database=None,
        # The machine's load is not what is tested; each answer has its own deadline.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
