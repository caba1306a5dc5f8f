"""Own the table of results: figures beside those of peers, and whether they reach their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: what is measured.
        peer: the program compared with; empty if there is none.
        ours: our figure, in `unit`.
        theirs: the peer's figure, in `unit`; None if there is no peer.
        unit: the unit of both figures.
        to_reach: the target for the ratio, or for `ours` if there is no peer.
        is_rate: whether more is better.
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
        """Return ours divided by theirs."""
        return None if self.theirs is None else self.ours / self.theirs

    @property
    def is_reached(self) -> bool:
        """Return whether the target is reached."""
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.to_reach if self.is_rate else value <= self.to_reach

    def as_json(self) -> dict[str, Any]:
        """Return all fields, the ratio and whether the target is reached."""
        return asdict(self) | {"ratio": self.ratio, "is_reached": self.is_reached}

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a line of the table."""
        sign, unit = (">=" if self.is_rate else "<="), f" {self.unit}"
        has_peer = self.theirs is not None
        return (
            self.what,
            _format(self.ours) + unit,
            f"{_format(self.theirs)}{unit}, {self.peer}" if self.theirs is not None else "",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            f"{sign} {self.to_reach:g}{' x' if has_peer else unit}",
            "reached" if self.is_reached else "missed",
        )


HEAD = ("what", "ours", "peer", "ratio", "to reach", "verdict")


def table(rows: Sequence[Row]) -> str:
    """Format rows as aligned columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    cells = (
        (cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in cells)


def _format(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004  # three digits
