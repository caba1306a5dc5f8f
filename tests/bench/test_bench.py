"""Test that `./dev bench` runs, and writes its figures for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.rows import Row, table
from tests.processes import running

CHEAP = ("write", "latency", "delivery", "idle")  # the others take seconds to set up


def test_a_cost_must_be_below_its_target_and_a_rate_above():
    cost = Row("a", "peer", 6.0, 10.0, "us", 0.7)
    rate = Row("b", "peer", 6.0, 10.0, "/s", 0.7, is_rate=True)

    assert cost.is_reached
    assert not rate.is_reached


def test_a_figure_without_a_peer_has_an_absolute_target():
    row = Row("memory", "", 2.6, None, "kB", 2.5)

    assert row.ratio is None
    assert not row.is_reached


def test_the_table_has_a_line_for_each_figure():
    text = table([Row("a", "peer", 6.0, 10.0, "us", 0.7), Row("m", "", 2.0, None, "kB", 2.5)])

    assert [line.split("  ")[0] for line in text.splitlines()] == ["what", "a", "m"]
    assert "0.60" in text
    assert "<= 0.7 x" in text
    assert "<= 2.5 kB" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_a_benchmark_writes_figures_as_json(name: str, tmp_path: Path):
    argv = ["bench", name, "--rounds", "1", "--share", "0.02", "--json", str(tmp_path / "json")]
    log = tmp_path / "log"

    with running(argv, {}, log) as process:
        process.wait(110)

    assert process.returncode in (0, 1), log.read_text()
    rows = json.loads((tmp_path / "json").read_text())
    assert {type(row["ours"]) for row in rows} == {float}
    assert {frozenset(row) for row in rows} == {
        frozenset(
            ("what", "peer", "ours", "theirs", "unit", "to_reach", "is_rate", "ratio", "is_reached")
        )
    }
