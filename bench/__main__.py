"""`./dev bench [NAME ...]`: run benchmarks, and print one table of what came out."""

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
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument("--rounds", type=int, default=5, help="whose median is taken (5)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual work in each (1.0)")
    parser.add_argument(
        "--records", type=int, default=100_000, help="kept tasks that are very many (100,000)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


def main() -> int:
    """Print the table, and return 1 where something is missed."""
    parser = _parser()
    asked = parser.parse_args()
    if unknown := {*asked.names} - {*NAMES}:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    names = [name for name in NAMES if name in (asked.names or NAMES)]
    rows: list[Row] = []
    for name in names:  # each with a Redis of its own, which the one before has left nothing in
        sys.stderr.write(f"{name} ...\n")
        with set_up(asked.rounds, asked.share, asked.records) as stage:
            rows += asyncio.run(_measure(name, stage))
    sys.stdout.write(table(rows) + "\n")
    if asked.json:
        asked.json.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
    return 0 if all(row.is_reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
