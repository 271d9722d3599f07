"""The last stages of a run: export, one examination for the whole family, cards, findings and manifests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from cloud_worker.forge import card, decoding, evaluate, export, tokenizer
from cloud_worker.forge.card.files import store
from cloud_worker.forge.evaluate.decoder import Decoder
from cloud_worker.forge.evaluate.pooled import Pooled, Source
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.reference.run import Run
from cloud_worker.forge.reference.stages import Stage, Tell, quietly
from cloud_worker.forge.workers import worker_pool
from edgewise.wire.findings import Table
from edgewise.wire.manifest import load_manifest, sha256_file

EDGE: Final = "edge"

Opening = Callable[[Source], Decoder]
"""How a model is opened: here, or in the processes of a pool."""


def stages(run: Run) -> list[Stage]:
    """The graphs of the edge model, then the directories and the examination of every model."""
    exports = [Stage(f"export {one}", 25, partial(_export, run, one)) for one in run.precisions]
    return [*exports, Stage("examination", 300, partial(examine, run))]


def _export(run: Run, precision: str, _tell: Tell) -> None:
    """One graph of the edge model, unless a graph of these very weights is there."""
    graph, weights = _graph(run, precision), run.work / EDGE / "model.safetensors"
    if not graph.exists() or graph.stat().st_mtime_ns < weights.stat().st_mtime_ns:
        export.export_onnx(run.work / EDGE, run.tokenizer_file, graph.parent, precision)


def _graph(run: Run, precision: str) -> Path:
    return run.work / "onnx" / f"{precision}.onnx"


def examine(run: Run, tell: Tell = quietly) -> None:
    """Assemble every model's directory under `out`, have all sit one examination, and write what was found."""
    with ExitStack() as opened:
        pool = opened.enter_context(worker_pool(run.recipe.workers)) if run.recipe.workers > 1 else None
        _examine(run, tell, lambda source: Pooled(pool, source) if pool else source.open())


def _examine(run: Run, tell: Tell, opening: Opening) -> None:
    encoder = tokenizer.load(run.tokenizer_file)
    candidates = [_candidate(run, model.tier, encoder, opening) for model in run.recipe.models]
    examination = card.Examination.drawn(encoder, run.per_cell, run.answer_tokens)
    done = [0]

    def advance(count: int) -> None:
        done[0] += count
        tell(min(1.0, done[0] / sitting.total), f"{done[0]:,} of {sitting.total:,} answers")

    sitting = card.Sitting(examination, candidates, advance)
    for tier, findings in sitting.run().items():
        export.write_model_manifest(run.out / tier, tier, run.label)
        store(run.out / tier, load_manifest(run.out / tier), findings)


def _candidate(run: Run, tier: str, encoder: Tokenizer, opening: Opening) -> card.Candidate:
    """What sits the examination: the decoder of the finished directory, and the facts of the training."""
    trained, weights = run.work / tier, export.WEIGHTS[tier]
    source = _graph(run, export.SHIPPED) if weights.endswith(".onnx") else trained / weights
    folder = export.assemble(tier, source, trained / "config.json", run.tokenizer_file, run.out)
    model = Qwen2.load(trained)
    graph = weights.endswith(".onnx")
    decoder = opening(Source(folder if graph else trained, graph, tokenizer.END))
    tables = (_precisions(run, model, encoder),) if graph else ()
    parameters, lessons = sum(value.numel() for value in model.parameters()), run.recipe.model(tier).lessons
    made = card.making(run.work / f"{tier}.log.json", run.label, parameters, lessons.teacher if lessons else "")
    runtime, name = card.RUNTIMES[export.FORMATS[tier]], f"edgewise-reference-{tier}"
    parent = _full_precision(run, opening) if graph else None
    return card.Candidate(name, tier, folder, weights, runtime, decoder, made, parent, tables)


def _full_precision(run: Run, opening: Opening) -> card.Parent | None:
    """The full-precision graph that the shipped one was quantized from; gates and card judge the one by the other."""
    if "fp32" not in run.precisions:
        return None
    graph = _graph(run, "fp32")
    place, config = run.work / "assembled-fp32", run.work / EDGE / "config.json"
    folder = export.assemble(EDGE, graph, config, run.tokenizer_file, place)
    decoder = opening(Source(folder, True, tokenizer.END))
    return card.Parent("the full-precision graph", decoder, sha256_file(graph))


def _precisions(run: Run, model: Qwen2, encoder: Tokenizer) -> Table:
    """Size and agreement with the torch weights for each precision tried."""
    text = (
        "ONNX by the onnxruntime-genai model builder, rounded by onnxruntime.quantization, in the device "
        "form. Agreement with the bf16 torch weights on reference answers, fed token by token. "
        f"Shipped: {export.SHIPPED}, in which attention and head keep 8 bits."
    )
    rows = []
    for precision in run.precisions:
        graph = _graph(run, precision)
        place = run.work / f"assembled-{precision}"
        folder = export.assemble(EDGE, graph, run.work / EDGE / "config.json", run.tokenizer_file, place)
        found = evaluate.agreement(decoding.OnnxGreedy(folder).row, model, encoder, run.agreement_exercises)
        size = f"{graph.stat().st_size:,}"
        rows.append((precision, size, f"{found.argmax:.4f}", f"{found.largest_gap:.3f}", f"{found.rows:,}"))
    return card.table("Export", text, ("precision", "bytes", "argmax agreement", "largest logit gap", "rows"), rows)
