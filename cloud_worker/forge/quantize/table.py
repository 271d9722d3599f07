"""Runs methods of the registry on one model and fills the table. What cannot be made becomes a row with its reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort  # type: ignore[import-untyped]

from cloud_worker.forge.evaluate import Mark, by_grade, judge
from cloud_worker.forge.evaluate.onnx_rows import OnnxRows
from cloud_worker.forge.export.graphs import graph_bytes
from cloud_worker.forge.export.precision import float_graph
from cloud_worker.forge.export.source import ModelSource
from cloud_worker.forge.quantize.divergence import Divergence, divergence, forced_rows
from cloud_worker.forge.quantize.methods.base import FloatModel, QuantizationMethod
from cloud_worker.forge.quantize.methods.registry import BASELINE
from cloud_worker.forge.quantize.rows import MethodRow, MethodTable, Score
from cloud_worker.forge.quantize.speed import in_turns
from cloud_worker.forge.quantize.trial import Trial
from cloud_worker.forge.stepping import open_row
from edgewise.graphs import CacheRow, Logits
from edgewise.wire.errors import EdgewiseError

Step = Callable[[str, int], None]
"""Told the method's name and how many units of it are done; see `units`."""


def no_step(method: str, count: int) -> None:
    """Tells nobody."""


def units(trial: Trial) -> int:
    """What one method counts to in a progress bar: making it, its predicted rows, its exercises."""
    return 1 + len(trial.rows) + len(trial.exercises)


@dataclass(frozen=True)
class _Baseline:
    """The float graph, its logits on the trial's rows, and how many exercises it gets right."""

    decoder: CacheRow
    logits: Sequence[Logits]
    right: int


def run_table(
    source: ModelSource, methods: Sequence[QuantizationMethod], trial: Trial, work: Path, step: Step = no_step
) -> MethodTable:
    """Make every method's graph under `work` (each removed when it is measured) and measure it on one thread.

    The float row comes first whether it is asked for or not. Raises ExportError when the float graph fails.
    """
    tokenizer_file = source.directory / "tokenizer.json"
    graph = float_graph(source.directory, tokenizer_file, work)
    model = FloatModel(source.directory, tokenizer_file, graph, source.sizes, work / "pieces")
    model.work.mkdir(parents=True, exist_ok=True)
    decoder = open_row(graph, trial.capacity)
    logits = list(forced_rows(decoder, trial.rows))
    baseline = _Baseline(decoder, logits, _right(_asked(decoder, trial, BASELINE, no_step)))
    rows = [_row(method, model, trial, baseline, step) for method in methods]
    shutil.rmtree(model.work, ignore_errors=True)
    return MethodTable(
        model=source.directory.resolve().name,
        parameters=source.sizes.parameters,
        runtime=f"onnxruntime {ort.__version__}, 1 thread",
        trial_tokens=sum(len(row.ids) - row.start for row in trial.rows),
        exercises=len(trial.exercises),
        calibration_rows=len(trial.calibration.rows),
        rows=tuple(rows),
    )


def _row(method: QuantizationMethod, model: FloatModel, trial: Trial, baseline: _Baseline, step: Step) -> MethodRow:
    target = model.work / f"{method.name}.onnx"
    try:
        method.check(model.sizes)
        graph = method.quantize(model, trial.calibration, target)
        step(method.name, 1)
        return _measured(method, graph, model, trial, baseline, step)
    except EdgewiseError as error:
        step(method.name, units(trial))
        return _facts(method, reason=error.message)
    except Exception as error:  # noqa: BLE001  libraries raise what they like; the row says it, the others go on
        step(method.name, units(trial))
        return _facts(method, reason=f"{type(error).__name__}: {str(error)[:160]}")


def _measured(
    method: QuantizationMethod, graph: Path, model: FloatModel, trial: Trial, baseline: _Baseline, step: Step
) -> MethodRow:
    decoder = open_row(graph, trial.capacity)
    found = list(forced_rows(decoder, trial.rows, lambda count: step(method.name, count)))
    far = divergence(trial.rows, baseline.logits, found)
    marks = _asked(decoder, trial, method.name, step)
    speeds = in_turns(decoder, baseline.decoder)
    return _facts(method, far=far, marks=marks, baseline=baseline, speeds=speeds, size=graph_bytes(graph))


def _asked(decoder: CacheRow, trial: Trial, name: str, step: Step) -> list[Mark]:
    model = OnnxRows(decoder, trial.end)
    return judge(model, trial.tokenizer, trial.exercises, advance=lambda count: step(name, count))


def _right(marks: Sequence[Mark]) -> int:
    return sum(mark.right for mark in marks)


def _facts(
    method: QuantizationMethod,
    *,
    reason: str = "",
    far: Divergence | None = None,
    marks: Sequence[Mark] = (),
    baseline: _Baseline | None = None,
    speeds: tuple[float, float] | None = None,
    size: int | None = None,
) -> MethodRow:
    scores = tuple(
        Score(grade=grade, language=language.value, right=cell.right, total=cell.total)
        for (_, grade, language), cell in by_grade(marks).items()
    )
    return MethodRow(
        method=method.name,
        bits=method.bits,
        symmetric=method.symmetric,
        static=method.static,
        granularity=method.granularity.value,
        reason=reason,
        bytes=size,
        perplexity=far.perplexity if far else None,
        agreement=far.agreement if far else None,
        largest_gap=far.largest_gap if far else None,
        kl=far.kl if far else None,
        scores=scores,
        kept=_right(marks) / baseline.right if marks and baseline and baseline.right else None,
        tokens_per_s=speeds[0] if speeds else None,
        speed_ratio=speeds[1] if speeds else None,
    )
