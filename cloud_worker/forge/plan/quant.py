"""`edgewise plan quant`: what uniform quantization of a range does to values. One range, a few values, no weights.

q = clamp(round(x / S) + Z), x' = (q - Z) · S, with round to even as ONNX QuantizeLinear has it (Jacob et al., 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cloud_worker.forge.plan.inputs import refuse

Scheme = Literal["symmetric", "asymmetric"]
BITS = (2, 3, 4, 5, 6, 7, 8, 16)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The levels of a range: `scale` between two of them, `zero_point` the level of 0, both ends of the levels."""

    scheme: Scheme
    bits: int
    scale: float
    zero_point: int
    lowest: int
    highest: int

    def quantize(self, value: float) -> int:
        """The level of a value; one outside the range takes the nearest end."""
        return max(self.lowest, min(self.highest, round(value / self.scale) + self.zero_point))

    def restore(self, level: int) -> float:
        """What the level stands for."""
        return (level - self.zero_point) * self.scale


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """One value on the grid and back; `clipped` when it lies outside what the levels reach."""

    value: float
    level: int
    restored: float
    error: float
    clipped: bool


@dataclass(frozen=True, kw_only=True)
class QuantPlan:
    """A grid, its errors for any value within the range, and those of the given values.

    `largest_error` is half a step; `rms_error` is that of evenly spread values, S / √12.
    """

    low: float
    high: float
    grid: Grid
    largest_error: float
    rms_error: float
    values: tuple[Rounded, ...]


def symmetric(low: float, high: float, bits: int) -> Grid:
    """S = max(|low|, |high|) / (2^(bits-1) - 1), Z = 0; the lowest level is not used, so that both sides are alike."""
    highest = 2 ** (bits - 1) - 1
    scale = max(abs(low), abs(high)) / highest
    return Grid(scheme="symmetric", bits=bits, scale=scale, zero_point=0, lowest=-highest, highest=highest)


def asymmetric(low: float, high: float, bits: int) -> Grid:
    """S = (high - low) / (2^bits - 1), Z so that 0 has a level of its own; a range beside 0 is stretched to it."""
    low, high = min(low, 0.0), max(high, 0.0)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = high / (2**bits - 1) - low / (2**bits - 1)
    zero_point = max(lowest, min(highest, round(lowest - low / scale)))
    return Grid(scheme="asymmetric", bits=bits, scale=scale, zero_point=zero_point, lowest=lowest, highest=highest)


def plan_quant(low: float, high: float, bits: int, values: Sequence[float]) -> tuple[QuantPlan, QuantPlan]:
    """Both schemes for one range, symmetric first. Raises PlanInputError."""
    _check(low, high, bits, values)
    first, second = (_plan(low, high, grid(low, high, bits), values) for grid in (symmetric, asymmetric))
    return first, second


def _plan(low: float, high: float, grid: Grid, values: Sequence[float]) -> QuantPlan:
    rounded = tuple(_rounded(grid, value) for value in values)
    rms = grid.scale / math.sqrt(12)
    return QuantPlan(low=low, high=high, grid=grid, largest_error=grid.scale / 2, rms_error=rms, values=rounded)


def _rounded(grid: Grid, value: float) -> Rounded:
    level = grid.quantize(value)
    restored = grid.restore(level)
    clipped = not grid.lowest <= round(value / grid.scale) + grid.zero_point <= grid.highest
    return Rounded(value=value, level=level, restored=restored, error=abs(restored - value), clipped=clipped)


def _check(low: float, high: float, bits: int, values: Sequence[float]) -> None:
    if bits not in BITS:
        raise refuse(f"{bits} bits cannot be planned", "bits", f"one of {', '.join(map(str, BITS))}")
    if not all(abs(number) < math.inf for number in (low, high, *values)):
        raise refuse("A number is not finite", "low, high, value", "finite numbers")
    if low >= high:
        raise refuse(f"The range from {low} to {high} is empty", "low, high", "low below high")
    if max(abs(low), abs(high)) > LARGEST or max(abs(low), abs(high)) < SMALLEST:
        raise refuse(f"The range from {low} to {high} has no float32 scale", "low, high", f"{SMALLEST} to {LARGEST}")
    if any(abs(value) > LARGEST for value in values):
        raise refuse("A value is larger than float32 holds", "value", f"at most {LARGEST}")


LARGEST, SMALLEST = 3e38, 1e-30
"""Ends of what is planned, in absolute value: inside them a scale is a normal float32."""
