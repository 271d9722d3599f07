"""`edgewise model export`: a Hugging Face directory in, a model directory for devices out, checked before and after."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_worker.forge.export.against_torch import compare, reference
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.folder import assemble, write_model_manifest
from cloud_worker.forge.export.graphs import graph_bytes
from cloud_worker.forge.export.precision import export_onnx, uncalibrated
from cloud_worker.forge.export.room import check_room
from cloud_worker.forge.export.source import ModelSource, read_source
from cloud_worker.forge.quantize.divergence import Divergence

STAGES: Final = ("checking", "building the graph", "comparing with torch", "writing")
Stage = Callable[[str], None]


def no_stage(stage: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export made: the directory, its version id, the precision's method, how near it is to torch."""

    directory: str
    version: str
    precision: str
    method: str
    bytes: int
    against_torch: Divergence


def export_directory(
    directory: Path, out: Path, precision: str = "int4", *, tier: str = "edge", name: str = "", stage: Stage = no_stage
) -> Exported:
    """Export into `out` (a new or empty folder).

    Raises ConfigJsonError, CheckpointFileError, TokenizerMissingError, CombinationRefusedError and NotEnoughRoomError
    before any work, ExportError and GraphUnfitError from it.
    """
    stage(STAGES[0])
    source = read_source(directory)
    chosen = uncalibrated(precision, source.sizes)
    _check_free(out)
    check_room(source.sizes.parameters, out)
    work = out.with_name(f".{out.name}.work")
    shutil.rmtree(work, ignore_errors=True)  # of an export that was killed, perhaps of another model
    try:
        return _export(source, out, work, precision, chosen.name, tier, name, stage)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _export(
    source: ModelSource, out: Path, work: Path, precision: str, made_by: str, tier: str, name: str, stage: Stage
) -> Exported:
    stage(STAGES[1])
    work.mkdir(parents=True, exist_ok=True)
    graph = export_onnx(source.directory, source.directory / "tokenizer.json", work, precision)
    stage(STAGES[2])
    said = reference(source)
    compare(said, work / "fp32.onnx", source.sizes.head_dim, is_float=True)
    found = compare(said, graph, source.sizes.head_dim)
    stage(STAGES[3])
    assemble_at(source, graph, out)
    write_model_manifest(
        out,
        tier,
        f"{made_by} by edgewise model export",
        name=name or source.directory.resolve().name,
        context_tokens=source.sizes.max_position_embeddings,
        eos_ids=source.speech.eos_ids,
    )
    return Exported(
        directory=str(out),
        version=_version(out),
        precision=precision,
        method=made_by,
        bytes=graph_bytes(out / "model.onnx"),
        against_torch=found,
    )


def assemble_at(source: ModelSource, graph: Path, out: Path) -> Path:
    """The model directory at `out` itself, without card and manifest."""
    tokenizer_file, config = source.directory / "tokenizer.json", source.directory / "config.json"
    return assemble(out.name, graph, config, tokenizer_file, out.parent, source.speech.template)


def _version(out: Path) -> str:
    from edgewise.wire.manifest import load_manifest

    return load_manifest(out, verify=False).id


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CombinationRefusedError(
            "The folder for the export is not empty",
            where=str(out),
            expected="a new or empty folder",
            remedy="choose another --out, or remove it",
        )
