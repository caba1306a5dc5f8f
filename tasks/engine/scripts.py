"""The Lua scripts that write state: what one of them does happens at one instant or not at all."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("lua")


@cache
def source(name: str) -> str:
    """Read a script with the shared functions before it.

    Args:
        name: file name in `lua/`, without its ending.
    """
    return (_FOLDER / "record.lua").read_text() + (_FOLDER / f"{name}.lua").read_text()
