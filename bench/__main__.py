"""Run benchmarks and print their results as one table."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path

from bench.rows import Row, table
from bench.stage import Stage, set_up

NAMES = (
    "enqueue",
    "batch",
    "write",
    "throughput",
    "latency",
    "delivery",
    "idle",
    "kept",
    "memory",
    "start",
    "spam",
)


async def _measure(name: str, stage: Stage) -> list[Row]:
    return [row async for row in import_module(f"bench.{name}").measure(stage)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; default: all"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="number of rounds whose median is taken (default: 5)"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the usual work a round (default: 1.0)"
    )
    parser.add_argument(
        "--records",
        type=int,
        default=100_000,
        help="number of kept tasks in the benchmarks of growth (default: 100,000)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the figures to this file"
    )
    return parser


def main() -> int:
    """Print the table, and return 1 if a target is missed."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := {*options.names} - {*NAMES}:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}: use {', '.join(NAMES)}")
    names = [name for name in NAMES if name in (options.names or NAMES)]
    rows: list[Row] = []
    for name in names:  # each with a new Redis
        sys.stderr.write(f"{name} ...\n")
        with set_up(options.rounds, options.share, options.records) as stage:
            rows += asyncio.run(_measure(name, stage))
    sys.stdout.write(table(rows) + "\n")
    if options.json:
        options.json.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
    return 0 if all(row.is_reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
