"""The Lua scripts that write state: what one of them does happens at one instant or not at all."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from celeryql.settings import Settings

_FOLDER = Path(__file__).with_name("lua")
OUTBOX = ("clock", "outbox")  # all that a script shares that only moves messages
_ALL = ("clock", "timings", "change", "outbox", "record", "workflow")
# Making its functions takes a script longer than calling them: what most states need comes first.
TRANSITION = (*_ALL[:3], "alone", *_ALL[3:])

SWEEP_PAUSE_S = 0.5  # what is due is sent well within a second
_SWEEP_LOCK_MS = 400  # below the pause, so that whoever swept last may do so again


def request(settings: Settings, **content: Any) -> str:
    """Make the first argument of a script that writes records.

    Args:
        settings: where the limits are that scripts keep to.
        content: what this script is to do; names whose value is None are left out.
    """
    limits = {
        "events_kept": str(settings.events_kept),
        "history_kept": settings.history_kept,
        "ttl_s": str(settings.result_expires),
        "lease_ms": settings.visibility_timeout * 1_000,
        "sweep_lock_ms": str(_SWEEP_LOCK_MS),
    }
    given = {name: value for name, value in content.items() if value is not None}
    return json.dumps({"limits": limits, **given})


@cache
def source(name: str, shared: tuple[str, ...] = _ALL) -> str:
    """Read a script with what it shares before it.

    Args:
        name: file name in `lua/`, without its ending.
        shared: likewise, what it needs.
    """
    return "".join((_FOLDER / f"{part}.lua").read_text() for part in (*shared, name))
