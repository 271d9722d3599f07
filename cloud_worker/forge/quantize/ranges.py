"""Ranges and grids: from observed values to (low, high), from a range to scale and zero point, and the error of it.

Pure NumPy. q = clamp(round(x / S) + Z), x' = (q - Z) · S, rounding half to even (ONNX QuantizeLinear).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_worker.forge.plan.quant import Grid, asymmetric, symmetric
from cloud_worker.forge.quantize.histogram import Histogram

Range = tuple[float, float]
RangeOf = Callable[[Histogram], Range]
PERCENTILE: Final = 99.9
SHRINKS: Final = np.linspace(1.0, 0.2, 81)
"""Shares of the full range that the MSE search tries."""


def grid_of(low: float, high: float, bits: int, is_symmetric: bool) -> Grid:
    """Scale, zero point and levels of a range; a range without width gets the scale 1."""
    if max(abs(low), abs(high)) < 1e-30:
        low, high = -1.0, 1.0
    return symmetric(low, high, bits) if is_symmetric else asymmetric(low, high, bits)


def round_trip(values: NDArray[np.floating], grid: Grid) -> NDArray[np.float64]:
    """Values on the grid and back, shaped alike."""
    levels = np.clip(np.round(np.asarray(values, np.float64) / grid.scale) + grid.zero_point, grid.lowest, grid.highest)
    restored: NDArray[np.float64] = (levels - grid.zero_point) * grid.scale
    return restored


def minmax(seen: Histogram) -> Range:
    """The smallest and the largest value."""
    return seen.low, seen.high


def percentile(seen: Histogram, share: float = PERCENTILE) -> Range:
    """The range that holds `share` percent of the values, the rest cut off in equal parts at both ends."""
    cut = (100.0 - share) / 200.0
    return seen.quantile(cut), seen.quantile(1.0 - cut)


def mse_optimal(seen: Histogram, bits: int = 8, is_symmetric: bool = False) -> Range:
    """The range, shrunk from either end, whose grid leaves the least squared error over the histogram's bin centres.

    Symmetric: one search over max(|low|, |high|). Asymmetric: first the high end, then the low end.
    """
    low, high = minmax(seen)
    if is_symmetric:
        reach = max(abs(low), abs(high))
        best = _best(seen, [(-reach * share, reach * share) for share in SHRINKS], bits, True)
        return max(low, best[0]), min(high, best[1])
    best = _best(seen, [(low, high * share) if high > 0 else (low, high) for share in SHRINKS], bits, False)
    return _best(seen, [(low * share, best[1]) if low < 0 else best for share in SHRINKS], bits, False)


def _best(seen: Histogram, candidates: list[Range], bits: int, is_symmetric: bool) -> Range:
    errors = [squared_error(seen, grid_of(*candidate, bits, is_symmetric)) for candidate in candidates]
    return candidates[int(np.argmin(errors))]


def squared_error(seen: Histogram, grid: Grid) -> float:
    """Mean squared rounding error over the histogram, each bin standing for its centre."""
    centres = seen.centres
    return float(np.average((round_trip(centres, grid) - centres) ** 2, weights=np.maximum(seen.counts, 1e-12)))
