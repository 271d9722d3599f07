"""The device's tier and its ladder as the settings ask for them. Wiring only; the agent runs what is made here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import psutil  # type: ignore[import-untyped]

from edge_agent.config import AgentConfig
from edge_agent.ladder import Ladder, LadderSettings, LadderWatch
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.context import ContextMode
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.kv_disk import disk_options
from edge_agent.serving.models import Models
from edge_agent.serving.opened import Manner
from edge_agent.serving.served import ServedModel
from edge_agent.telemetry.sources import DeviceSource, FactsFile, OverriddenSource, PsutilSensors
from edge_agent.telemetry.vitals import VitalsSource
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.wire.frames import Scalar, TelemetryRecord

MODEL_KIND = "model"
Record = Callable[[TelemetryRecord], object]


def served_model(config: AgentConfig, record: Record) -> ServedModel:
    """The tier, with nothing loaded yet."""

    def open_model(manner: Manner) -> tuple[OnnxEngine, ChatTokenizer]:
        return OnnxEngine.load(manner.directory, engine_options(config, manner)), ChatTokenizer.load(manner.directory)

    def drive(engine: OnnxEngine, tokenizer: ChatTokenizer) -> EngineDriver:
        names = (engine.manifest.name,)
        return EngineDriver(engine, tokenizer, kind="edge", name=name, models=names, max_queue=config.max_queue)

    def told(what: str, values: dict[str, Scalar]) -> None:
        record(TelemetryRecord(time.time(), MODEL_KIND, {"what": what, **values}))

    name = f"edge:{config.name}"
    manner = Manner(config.model_dir, config.engine_threads, config.spinning == "auto")
    throttle = config.throttle_tokens_per_s
    models = Models(open_model, manner, drive, throttle_tokens_per_s=throttle, told=told)
    return ServedModel(models, name=name, every_row=config.context is ContextMode.FULL)


def engine_options(config: AgentConfig, manner: Manner) -> EngineOptions:
    """How an engine of this agent runs."""
    return EngineOptions(
        threads=manner.threads,
        spinning=manner.spinning,
        slots=config.slots,
        max_queue=config.max_queue,
        numerics=config.numerics,
        speculation=config.speculation == "auto",
        machine_dir=config.data_dir / "machine",
        prefix_bytes=config.prefix_cache_mb << 20,
        context=config.context,
        memory_reserve_bytes=None if config.memory_reserve_mb is None else config.memory_reserve_mb << 20,
        saved=disk_options(config.data_dir, config.prefix_disk_mb, config.prefix_disk_s),
        adapters=config.adapters,
    )


def ladder_watch(config: AgentConfig, served: ServedModel, record: Record) -> LadderWatch | None:
    """What makes the tier obey; None where the ladder is off. It reads the sensors by itself: a reading's load is that
    since the reading before, and telemetry wants means over longer."""
    if config.ladder == "off":
        return None
    vitals = VitalsSource()
    settings = LadderSettings(cores=psutil.cpu_count() or 1)
    if vitals.throttle_c is not None:
        settings = replace(settings, throttle_c=vitals.throttle_c)
    return LadderWatch(
        Ladder(settings),
        device=with_facts_file(config, PsutilSensors()).read,
        vitals=vitals.read,
        needs=served.needs,
        obey=served.models.obey,
        record=record,
        now=time.time,
        clock=time.monotonic,
    )


def with_facts_file(config: AgentConfig, measured: DeviceSource) -> DeviceSource:
    """The sensors with what an operator's file says over them."""
    return OverriddenSource(measured, FactsFile(config.device_facts).read) if config.device_facts else measured
