"""Counters, gauges and histograms of this process: a dictionary and a bisection each, so that recording costs a
quarter of a microsecond. Showing them is prometheus.py and otlp.py.

Label sets are bounded: beyond SERIES_MAX a metric counts the rest under `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from edgewise.observability.names import MetricName

SERIES_MAX = 200
OTHER = "other"

Labels = tuple[str, ...]
GaugeReading = Mapping[Labels, float]


class Counter:
    """A sum that only grows, per label set. `add` takes the values of the name's attributes, in order."""

    def __init__(self, name: MetricName, folded: Callable[[], None]) -> None:
        self.name = name
        self.series: dict[Labels, float] = {}
        self._folded = folded

    def add(self, amount: float, *labels: str) -> None:
        """Count `amount` more."""
        series = self.series
        if labels in series:
            series[labels] += amount
        else:
            labels = bounded(series, labels, self._folded)
            series[labels] = series.get(labels, 0.0) + amount


class Histogram:
    """Counts per bucket (value ≤ bound) and a sum, per label set. A series is [count, …, count over all, sum]."""

    def __init__(self, name: MetricName, folded: Callable[[], None]) -> None:
        self.name = name
        self.series: dict[Labels, list[float]] = {}
        self._bounds = name.buckets
        self._folded = folded

    def record(self, value: float, *labels: str) -> None:
        """Count one observation."""
        series = self.series.get(labels) or self._new(labels)
        series[bisect_left(self._bounds, value)] += 1
        series[-1] += value

    def bind(self, *labels: str) -> Callable[[float], None]:
        """`record` for one label set, for those that record to it again and again."""
        series, bounds = self.series.get(labels) or self._new(labels), self._bounds

        def record(value: float) -> None:
            series[bisect_left(bounds, value)] += 1
            series[-1] += value

        return record

    def _new(self, labels: Labels) -> list[float]:
        return self.series.setdefault(bounded(self.series, labels, self._folded), [0.0] * (len(self._bounds) + 2))


class Gauge:
    """A value that is asked for when it is shown. `watch` gives the callback; `set` keeps a value itself."""

    def __init__(self, name: MetricName) -> None:
        self.name = name
        self._values: dict[Labels, float] = {}
        self._ask: Callable[[], GaugeReading] | None = None

    def set(self, value: float, *labels: str) -> None:
        """Keep a value."""
        self._values[labels] = value

    def watch(self, ask: Callable[[], GaugeReading]) -> None:
        """Ask for the values whenever they are shown; `ask` must be quick and must not wait."""
        self._ask = ask

    @property
    def series(self) -> GaugeReading:
        """Values by label set, now."""
        return self._ask() if self._ask is not None else self._values


def bounded(series: Mapping[Labels, object], labels: Labels, folded: Callable[[], None]) -> Labels:
    """The label set itself while there is room for it, else the one of `other`s."""
    if labels in series or len(series) < SERIES_MAX or not labels:
        return labels
    folded()
    return (OTHER,) * len(labels)


Instrument = Counter | Histogram | Gauge
T = TypeVar("T", Counter, Histogram, Gauge)


class Meter:
    """Every instrument of a process, made from the table of names; there is no other way to make one."""

    def __init__(self, names: Iterable[MetricName]) -> None:
        self.instruments: dict[str, Instrument] = {}
        for name in names:
            self.instruments[name.name] = self._make(name)

    def counter(self, name: str) -> Counter:
        """The counter of that name. Raises KeyError for a name outside the table, TypeError for another kind."""
        return _as(self.instruments[name], Counter)

    def histogram(self, name: str) -> Histogram:
        """The histogram of that name. Raises as `counter`."""
        return _as(self.instruments[name], Histogram)

    def gauge(self, name: str) -> Gauge:
        """The gauge of that name. Raises as `counter`."""
        return _as(self.instruments[name], Gauge)

    def _make(self, name: MetricName) -> Instrument:
        if name.kind == "gauge":
            return Gauge(name)
        return Counter(name, self._fold) if name.kind == "counter" else Histogram(name, self._fold)

    def _fold(self) -> None:
        self.counter("edgewise.series.folded").add(1)


def _as(instrument: Instrument, kind: type[T]) -> T:
    if not isinstance(instrument, kind):
        raise TypeError(f"{instrument.name.name} is a {instrument.name.kind}, not a {kind.__name__.lower()}")
    return instrument
