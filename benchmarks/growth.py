"""How time and memory grow with the capture, and how straight the lines are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FACTORS: Final = (1, 2, 4, 8)


@dataclass(frozen=True)
class Growth:
    """One subject on one workload at several sizes.

    Attributes:
        workload: Its name.
        subject: Who is measured.
        packets: Packets of each size, rising.
        seconds: Median time at each.
        peak_bytes: Memory at each.
    """

    workload: str
    subject: str
    packets: tuple[int, ...]
    seconds: tuple[float, ...]
    peak_bytes: tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """The straight line nearest to measured points, by least squares.

    Attributes:
        base: Its value at 0.
        slope: Its rise per packet.
        bend: The largest distance of a point from the line, as a share of the point's value.
    """

    base: float
    slope: float
    bend: float


def fit_line(sizes: Sequence[int], values: Sequence[float]) -> Line:
    """Lay a line through points.

    Args:
        sizes: At least two different sizes.
        values: What was measured at each, above 0.
    """
    count = len(sizes)
    mean_size, mean_value = sum(sizes) / count, sum(values) / count
    spread = sum((size - mean_size) ** 2 for size in sizes)
    slope = sum((x - mean_size) * (y - mean_value) for x, y in zip(sizes, values, strict=True)) / spread
    base = mean_value - slope * mean_size
    bend = max(abs(base + slope * x - y) / y for x, y in zip(sizes, values, strict=True))
    return Line(base, slope, bend)


def ratios(values: Sequence[float]) -> tuple[float, ...]:
    """Each value over the first."""
    return tuple(value / values[0] for value in values)
