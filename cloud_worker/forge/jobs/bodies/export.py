"""forge.export: a trained directory as an ONNX model directory for devices, without calibration."""

from __future__ import annotations

import shutil
from pathlib import Path

from cloud_worker.forge.export import export_onnx, read_source
from cloud_worker.forge.export.precision import uncalibrated
from cloud_worker.forge.export.room import check_room, disk_free, with_own
from cloud_worker.forge.jobs.bodies.version import edge_version
from cloud_worker.forge.jobs.kinds import Bench
from cloud_worker.forge.jobs.stages import Progress, Stages
from edgewise.wire.forge_jobs import ExportPayload, ModelResult
from edgewise.wire.manifest import TOKENIZER_FILE


def export(payload: ExportPayload, bench: Bench, progress: Progress) -> ModelResult:
    """Stages graph and assemble. Raises what read_source and export_onnx raise, before any work."""
    directory, stages = Path(payload.model), Stages(bench.folder, progress)
    source = read_source(directory)
    uncalibrated(payload.precision, source.sizes)
    check_room(source.sizes.parameters, bench.folder, with_own(disk_free, bench.folder))
    out = bench.folder / "onnx"
    out.mkdir(exist_ok=True)

    def graph() -> str:
        return str(export_onnx(directory, directory / TOKENIZER_FILE, out, payload.precision))

    made = Path(stages.once("graph", str, graph))
    found = stages.once(
        "assemble", ModelResult, lambda: edge_version(bench, source, made, payload.precision, payload.name)
    )
    shutil.rmtree(out)
    return found
