"""The metrics of a Meter as Prometheus text (exposition format 0.0.4). Names follow OpenTelemetry's mapping: dots
become underscores, `s` and `By` become suffixes, counters end in `_total`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewise.observability.metrics import Counter, Gauge, Histogram, Labels, Meter
from edgewise.observability.names import MetricName

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNITS = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


def prometheus_name(name: MetricName) -> str:
    """The family's name, such as `gen_ai_server_request_duration_seconds`."""
    flat = name.name.replace(".", "_")
    suffix = _UNITS.get(name.unit, "")
    flat += "" if flat.endswith(suffix) else suffix
    return f"{flat}_total" if name.kind == "counter" else flat


def render(meter: Meter) -> bytes:
    """Every series as text."""
    return ("\n".join(_lines(meter)) + "\n").encode()


def _lines(meter: Meter) -> Iterator[str]:
    for instrument in meter.instruments.values():
        name, family = instrument.name, prometheus_name(instrument.name)
        series = dict(instrument.series)
        if not series:
            continue
        yield f"# HELP {family} {_escape_help(name.about)}"
        yield f"# TYPE {family} {name.kind}"
        keys = [attribute.replace(".", "_") for attribute in name.attributes]
        match instrument:
            case Counter() | Gauge():
                for labels, value in instrument.series.items():
                    yield f"{family}{_labels(keys, labels)} {value:.12g}"
            case Histogram():
                for labels, counts in list(instrument.series.items()):
                    yield from _histogram(family, keys, labels, name.buckets, list(counts))


def _histogram(
    family: str, keys: Sequence[str], labels: Labels, bounds: Sequence[float], counts: list[float]
) -> Iterator[str]:
    """Buckets count everything up to their bound, so each holds those before it."""
    total = 0.0
    for bound, count in zip([*(f"{each:.12g}" for each in bounds), "+Inf"], counts, strict=False):
        total += count
        yield f"{family}_bucket{_labels([*keys, 'le'], (*labels, bound))} {total:.12g}"
    yield f"{family}_sum{_labels(keys, labels)} {counts[-1]:.12g}"
    yield f"{family}_count{_labels(keys, labels)} {total:.12g}"


def _labels(keys: Sequence[str], values: Sequence[str]) -> str:
    pairs = [f'{key}="{_escape(value)}"' for key, value in zip(keys, values, strict=True)]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
