"""forge.quantize: a trained directory as a quantized model directory, by any method of the registry."""

from __future__ import annotations

import shutil
from pathlib import Path

from cloud_worker.forge.export import ModelSource, read_source
from cloud_worker.forge.export.precision import float_graph, method_name
from cloud_worker.forge.export.room import check_room, disk_free, with_own
from cloud_worker.forge.jobs.bodies.version import edge_version
from cloud_worker.forge.jobs.kinds import Bench
from cloud_worker.forge.jobs.stages import Progress, Stages
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.registry import method
from cloud_worker.forge.quantize.trial import make_trial
from edgewise.wire.forge_jobs import ModelResult, QuantizePayload
from edgewise.wire.manifest import TOKENIZER_FILE


def quantize(payload: QuantizePayload, bench: Bench, progress: Progress) -> ModelResult:
    """Stages graph (the float one), quantize and assemble. Raises what read_source, the method's check and make_trial
    raise, before any work."""
    source = read_source(Path(payload.model))
    chosen = method(method_name(payload.method, source.sizes))
    chosen.check(source.sizes)
    rows = _rows(source, payload.calibration) if chosen.needs_calibration else None
    check_room(source.sizes.parameters, bench.folder, with_own(disk_free, bench.folder))
    stages, out = Stages(bench.folder, progress), bench.folder / "onnx"
    out.mkdir(exist_ok=True)
    tokenizer = source.directory / TOKENIZER_FILE
    floats = Path(stages.once("graph", str, lambda: str(float_graph(source.directory, tokenizer, out))))

    def quantized() -> str:
        work = out / "work"
        work.mkdir(exist_ok=True)
        model = FloatModel(source.directory, tokenizer, floats, source.sizes, work)
        return str(chosen.quantize(model, rows, out / f"{chosen.name}.onnx"))

    graph = Path(stages.once("quantize", str, quantized))
    found = stages.once("assemble", ModelResult, lambda: edge_version(bench, source, graph, chosen.name, payload.name))
    shutil.rmtree(out)
    return found


def _rows(source: ModelSource, calibration: str) -> CalibrationSet:
    """Calibration rows whose composition was checked. Raises CalibrationSetError."""
    return make_trial(source, 1, Path(calibration) if calibration else None).calibration
