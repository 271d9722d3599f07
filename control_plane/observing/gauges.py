"""What a gateway's gauges show: counts that its parts know anyway, asked for when somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from control_plane.decisions.recorder import DecisionRecorder
from control_plane.nodes.registry import NodeRegistry
from edgewise.observability.metrics import Labels
from edgewise.observability.observer import Observer
from edgewise.routing.runner import Runner
from edgewise.streams.tailer import TailerHub

KINDS = ("edge", "cloud")


def watch_gateway(
    observer: Observer, *, runner: Runner, hub: TailerHub, registry: NodeRegistry, recorder: DecisionRecorder
) -> None:
    """Bind the gauges to the parts."""
    observer.gauge("edgewise.streams.open").watch(lambda: {(): float(runner.running)})
    observer.gauge("edgewise.streams.followed").watch(lambda: {(): float(hub.tailing)})
    observer.gauge("edgewise.streams.readers").watch(lambda: {(): float(hub.readers)})
    observer.gauge("edgewise.nodes").watch(lambda: _connected(registry))
    observer.gauge("edgewise.queue.depth").watch(lambda: _queued(registry))
    observer.gauge("edgewise.decisions.waiting").watch(lambda: {(): float(recorder.stats.queued)})


def _connected(registry: NodeRegistry) -> Mapping[Labels, float]:
    found = Counter[str](connection.hello.kind for connection in registry.connections())
    return {(kind,): float(found[kind]) for kind in KINDS}


def _queued(registry: NodeRegistry) -> Mapping[Labels, float]:
    queued: dict[Labels, float] = {(kind,): 0.0 for kind in KINDS}
    for connection in registry.connections():
        if connection.heartbeat is not None:
            queued[(connection.hello.kind,)] += connection.heartbeat.load.queued
    return queued
