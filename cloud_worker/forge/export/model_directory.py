"""`edgewise model export`: a Hugging Face directory in, a model directory for devices out, checked before and after."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cloud_worker.architectures import CONFIG_FILE
from cloud_worker.forge.export.adapter_inputs import MODULES, add_adapter_inputs
from cloud_worker.forge.export.against_torch import Reference, compare, reference
from cloud_worker.forge.export.device_form import show_hidden_states
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.folder import GRAPH_FILE, assemble, write_model_manifest
from cloud_worker.forge.export.graphs import graph_bytes, load_graph, save_graph
from cloud_worker.forge.export.int8_cache import cache_peaks, strange_texts, to_int8_cache
from cloud_worker.forge.export.options import ExportOptions
from cloud_worker.forge.export.precision import export_onnx, uncalibrated
from cloud_worker.forge.export.report import Exported, GraphFacts, graph_facts, warnings_of, write_report
from cloud_worker.forge.export.room import check_room
from cloud_worker.forge.export.source import ModelSource, read_source
from cloud_worker.forge.quantize.divergence import Divergence
from edgewise.wire.manifest import TOKENIZER_FILE, load_manifest

STAGES: Final = ("checking", "building the graph", "comparing with torch", "writing")
Stage = Callable[[str], None]


def no_stage(stage: str) -> None:
    """Tells nobody."""


def export_directory(
    directory: Path,
    out: Path,
    options: ExportOptions | None = None,
    *,
    tier: str = "edge",
    name: str = "",
    stage: Stage = no_stage,
) -> Exported:
    """Export into `out` (a new or empty folder).

    Raises ConfigJsonError, CheckpointFileError, TokenizerMissingError, CombinationRefusedError and NotEnoughRoomError
    before any work, ExportError, GraphUnfitError and ManifestError from it.
    """
    stage(STAGES[0])
    options = options or ExportOptions()
    options.check()
    source = read_source(directory)
    chosen = uncalibrated(options.precision, source.sizes, options.block)
    _check_free(out)
    check_room(source.sizes.parameters, out)
    work = out.with_name(f".{out.name}.work")
    shutil.rmtree(work, ignore_errors=True)  # of an export that was killed, perhaps of another model
    try:
        return _Export(source, out, work, options, chosen.name, stage).run(tier, name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class _Export:
    """One export: everything is checked and `work` is for its pieces."""

    source: ModelSource
    out: Path
    work: Path
    options: ExportOptions
    method: str
    stage: Stage

    def run(self, tier: str, name: str) -> Exported:
        self.stage(STAGES[1])
        self.work.mkdir(parents=True, exist_ok=True)
        source, asked = self.source, self.options
        rounded = export_onnx(
            source.directory, source.directory / TOKENIZER_FILE, self.work, asked.precision, asked.block
        )
        self.stage(STAGES[2])
        said, floats = reference(source), self.work / "fp32.onnx"
        compare(said, floats, is_float=True)
        graph = self._with_extras(rounded, floats, said)
        far, facts = compare(said, graph), graph_facts(graph)
        self.stage(STAGES[3])
        assemble_at(source, graph, self.out, asked.tensors)
        facts = replace(facts, bytes=graph_bytes(self.out / GRAPH_FILE))  # as it lies there
        return Exported(
            directory=str(self.out),
            version=self._describe(tier, name or source.directory.resolve().name, facts, far),
            precision=asked.precision,
            method=self.method,
            graph=facts,
            against_torch=far,
            warnings=warnings_of(facts),
        )

    def _with_extras(self, rounded: Path, floats: Path, said: Reference) -> Path:
        """The graph with the cache, the outputs and the adapter inputs that were asked for."""
        asked = self.options
        if asked.cache == "float32" and not asked.hidden_states and not asked.adapter_rank:
            return rounded
        graph = load_graph(rounded)
        if asked.cache == "int8":
            sizes = self.source.sizes
            strange = strange_texts(sizes.vocab_size, sizes.max_position_embeddings)
            to_int8_cache(graph, cache_peaks(floats, [*(row.ids for row in said.rows), *strange]))
        if asked.hidden_states:
            show_hidden_states(graph)
        if asked.adapter_rank:
            add_adapter_inputs(graph, asked.adapter_rank, asked.adapter_modules or MODULES)
        return save_graph(graph, self.work / "extras.onnx")

    def _describe(self, tier: str, name: str, facts: GraphFacts, far: Divergence) -> str:
        """Card, findings and manifest of the assembled directory; its version id."""
        write_report(self.out, name, tier, self.method, facts, far)
        write_model_manifest(
            self.out,
            tier,
            f"{self.method} by edgewise model export",
            name=name,
            context_tokens=self.source.sizes.max_position_embeddings,
            eos_ids=self.source.speech.eos_ids,
        )
        return load_manifest(self.out, verify=False).id


def assemble_at(source: ModelSource, graph: Path, out: Path, tensors: bool | None = None) -> Path:
    """The model directory at `out` itself, without card and manifest; `tensors` as in ExportOptions."""
    tokenizer_file, config = source.directory / TOKENIZER_FILE, source.directory / CONFIG_FILE
    return assemble(out.name, graph, config, tokenizer_file, out.parent, source.speech.template, tensors)


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CombinationRefusedError(
            "The folder for the export is not empty",
            where=str(out),
            expected="a new or empty folder",
            remedy="choose another --out, or remove it",
        )
