"""Checks that keep `./dev up` from starting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphql_api.auth.trusted_hosts import StartRefused
from graphql_api.local.preflight import (
    only_one,
    refuse_dead_redis,
)


def test_the_redis_of_the_settings_must_answer() -> None:
    with pytest.raises(StartRefused, match="REDIS_URL is set, but no Redis answers") as refusal:
        refuse_dead_redis("redis://:geheim@127.0.0.1:1/0")

    assert "geheim" not in str(refusal.value)


def test_the_error_of_a_second_start_names_the_first_process(tmp_path: Path) -> None:
    with (
        only_one(tmp_path / "up.lock"),
        pytest.raises(StartRefused, match=rf"already runs .* \(process {os.getpid()}\)"),
        only_one(tmp_path / "up.lock"),
    ):
        pass


def test_the_lock_is_freed_at_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path / "data" / "up.lock"):
            pass
