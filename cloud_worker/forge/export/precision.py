"""Precisions by name: fp32, int8, int4 and every method of the quantization registry; one graph from one of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_worker.architectures import CONFIG_FILE, ModelSizes, model_sizes
from cloud_worker.forge.export.builder import build
from cloud_worker.forge.export.checkpoint import check_tensors, read_checkpoint, weight_files
from cloud_worker.forge.export.graphs import graph_files
from cloud_worker.forge.export.options import BuilderOptions
from cloud_worker.forge.export.source import undivided
from edgewise.graphs import FORM

if TYPE_CHECKING:
    from cloud_worker.forge.quantize.methods.base import QuantizationMethod

PRECISIONS: Final = ("int8", "int4", "fp32")
SHIPPED: Final = "int4"


NARROW: Final = 512
"""Below this hidden size int4 and int8 take blocks of 32, and int4 keeps attention and head in 8 bits: a small model
feels each rounding, and neither costs it speed. From it on int4 is plain, and blocks are of 128 where they divide the
model: decoding reads every weight for every token, so scales and 8-bit matrices are paid for in speed."""


def method_name(precision: str, sizes: ModelSizes, block: int | None = None) -> str:
    """The registry's method for a precision: int8 and int4 take `block`, or the recommended one that divides."""
    if precision not in ("int8", "int4"):
        return precision
    narrow = sizes.hidden_size < NARROW
    preferred = (32, 64) if narrow else (128, 64, 32)
    chosen = block or next((block for block in preferred if not undivided(sizes, block)), preferred[0])
    return f"{precision}-block{chosen}" + ("-attention8" if precision == "int4" and narrow else "")


def uncalibrated(precision: str, sizes: ModelSizes, block: int | None = None) -> QuantizationMethod:
    """The method of a precision, fit for the model and in need of no calibration rows: exports have none.

    Raises CombinationRefusedError, CalibrationSetError.
    """
    from cloud_worker.forge.quantize.calibration import CalibrationSetError
    from cloud_worker.forge.quantize.methods.registry import method

    chosen = method(method_name(precision, sizes, block))
    chosen.check(sizes)
    if chosen.needs_calibration:
        raise CalibrationSetError(
            f"{chosen.name} needs calibration rows, and an export has none",
            where="precision",
            expected="fp32, int8, int4, or a method without calibration",
            remedy="make it with `python -m cloud_worker.forge quantize`, or by a job of the kind forge.quantize",
        )
    return chosen


def float_graph(trained: Path, tokenizer_file: Path, out: Path) -> Path:
    """out/fp32.onnx in the device form; built unless that of these weights is there. Raises ExportError."""
    target, note = out / "fp32.onnx", out / "fp32.of"
    state = _state(trained, tokenizer_file)
    if not target.exists() or not note.exists() or note.read_text(encoding="utf-8") != state:
        note.unlink(missing_ok=True)
        apart = out / "work" / "float"
        made = build(trained, tokenizer_file, out / "work", BuilderOptions(), apart / target.name)
        for piece in reversed(graph_files(made)):  # the graph last: where it lies, it is whole
            piece.replace(out / piece.name)
        shutil.rmtree(apart)
        note.write_text(state, encoding="utf-8")
    return target


def _state(trained: Path, tokenizer_file: Path) -> str:
    """Names the form, weights, shape and tokenizer of a graph: where the files are, their sizes and times."""
    files = [path.resolve() for path in (*weight_files(trained), trained / CONFIG_FILE, tokenizer_file)]
    states = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return "\n".join([f"form {FORM}", *states]) + "\n"


def export_onnx(trained: Path, tokenizer_file: Path, out: Path, precision: str, block: int | None = None) -> Path:
    """Build out/PRECISION.onnx in the device form from a Hugging Face directory of Llama, Qwen2 or Qwen3.

    Raises ConfigJsonError, CheckpointFileError, CombinationRefusedError (a shape or settings that cannot be),
    CalibrationSetError, ExportError.
    """
    from cloud_worker.forge.quantize.methods.base import FloatModel

    sizes = model_sizes(trained)
    chosen = uncalibrated(precision, sizes, block)
    check_tensors(read_checkpoint(trained), sizes, trained)
    graph = float_graph(trained, tokenizer_file, out)
    if precision == "fp32":
        return graph
    model = FloatModel(trained, tokenizer_file, graph, sizes, out / "work")
    try:
        return chosen.quantize(model, None, out / f"{precision}.onnx")
    finally:
        shutil.rmtree(model.work, ignore_errors=True)
