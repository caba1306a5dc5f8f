"""The table: what was measured, beside a peer, and whether it is what is to be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: is measured.
        peer: who does the same; empty where the figure stands for itself.
        ours: in `unit`.
        theirs: likewise; None without a peer.
        to_reach: of the ratio, or without a peer of `ours`.
        is_rate: more is better.
    """

    what: str
    peer: str
    ours: float
    theirs: float | None
    unit: str
    to_reach: float
    is_rate: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours to theirs."""
        return None if self.theirs is None else self.ours / self.theirs

    @property
    def is_reached(self) -> bool:
        """Whether the figure is what it should be."""
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.to_reach if self.is_rate else value <= self.to_reach

    def as_json(self) -> dict[str, Any]:
        """Give all of it."""
        return asdict(self) | {"ratio": self.ratio, "is_reached": self.is_reached}

    def cells(self) -> tuple[str, ...]:
        """Give what a line of the table shows."""
        sign, unit = (">=" if self.is_rate else "<="), f" {self.unit}"
        has_peer = self.theirs is not None
        return (
            self.what,
            _shown(self.ours) + unit,
            f"{_shown(self.theirs)}{unit}, {self.peer}" if self.theirs is not None else "",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            f"{sign} {self.to_reach:g}{' x' if has_peer else unit}",
            "reached" if self.is_reached else "missed",
        )


HEAD = ("what", "ours", "peer", "ratio", "to reach", "verdict")


def table(rows: Sequence[Row]) -> str:
    """Lay rows out in columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    cells = (
        (cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in cells)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004  # digits enough
