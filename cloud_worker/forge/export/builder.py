"""Runs the onnxruntime-genai model builder in a process of its own: a Hugging Face directory in, one ONNX graph in the
device form out.

The process ends with this one (leashed.py), so a command that is killed leaves nothing at work behind.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from cloud_worker.architectures import model_sizes
from cloud_worker.forge import leashed
from cloud_worker.forge.export.device_form import to_device_form
from cloud_worker.forge.export.errors import ExportError
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.options import BuilderOptions

_MODULE: Final = "onnxruntime_genai.models.builder"
_LINKED: Final = (".safetensors", ".safetensors.index.json")
_COPIED: Final = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def build(directory: Path, tokenizer_file: Path, work: Path, options: BuilderOptions, target: Path) -> Path:
    """Build `target` from a checked directory; `work` is for the pieces and is left empty.

    Raises ExportError, and GraphUnfitError for a graph that the device form cannot be made of.
    """
    source, built = work / "source", work / "built"
    for place in (source, built):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    _lay_out(directory, tokenizer_file, source)
    try:
        _run(source, built, work / "cache", options)
        target.parent.mkdir(parents=True, exist_ok=True)
        graph = load_graph(built / "model.onnx")
        return save_graph(to_device_form(graph, model_sizes(directory).head_dim), target)
    finally:
        for place in (source, built, work / "cache"):
            shutil.rmtree(place, ignore_errors=True)


def _run(source: Path, built: Path, cache: Path, options: BuilderOptions) -> None:
    arguments = ["-i", str(source), "-o", str(built), "-p", options.precision]
    arguments += ["-e", "cpu", "-c", str(cache), "--extra_options", *options.arguments()]
    done = leashed.run(_MODULE, arguments, {**os.environ, **_OFFLINE})
    if done.returncode or not (built / "model.onnx").exists():
        raise ExportError(
            f"The onnxruntime-genai builder failed (exit {done.returncode}): {done.stderr[-600:].strip()}",
            where=f"builder, {options.precision}",
            expected="an ONNX graph",
            remedy="check the shapes in config.json, and that the extra forge is installed",
        )


def _lay_out(directory: Path, tokenizer_file: Path, source: Path) -> None:
    """The files that the builder reads: weights by link, and a tokenizer description when there is none."""
    for path in sorted(directory.iterdir()):
        if path.name.endswith(_LINKED):
            (source / path.name).symlink_to(path.resolve())
        elif path.name in _COPIED:
            shutil.copyfile(path, source / path.name)
    shutil.copyfile(tokenizer_file, source / "tokenizer.json")
    described = source / "tokenizer_config.json"
    if not described.exists():
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        described.write_text(json.dumps(_description(config, tokenizer_file)), encoding="utf-8")


def _description(config: dict[str, Any], tokenizer_file: Path) -> dict[str, Any]:
    """Class and special tokens, by the ids in config.json."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    described: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name in ("bos", "eos", "pad"):
        given = config.get(f"{name}_token_id")
        first = given[0] if isinstance(given, list) and given else given
        token = tokenizer.id_to_token(first) if type(first) is int else None
        if token is not None:
            described[f"{name}_token"] = token
    return described
