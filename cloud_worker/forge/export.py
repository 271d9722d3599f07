"""From trained weights to the two model directories: the ONNX graph by the onnxruntime-genai builder, and the rest.

A directory holds weights, config.json, tokenizer.json and chat_template.jinja; the card and manifest.json come last.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from cloud_worker.forge.recipes import CONTEXT_TOKENS
from cloud_worker.forge.tokenizer import CHAT_TEMPLATE, END
from edgewise.wire.manifest import build_manifest, write_manifest

PRECISIONS: Final = ("int8", "int4", "fp32")
SHIPPED: Final = "int8"
WEIGHTS: Final = {"edge": "model.onnx", "cloud": "model.safetensors"}
FORMATS: Final = {"edge": "onnx", "cloud": "safetensors"}


class ExportError(Exception):
    """The ONNX builder failed; carries the end of what it printed."""


def export_onnx(trained: Path, tokenizer_file: Path, out: Path, precision: str) -> Path:
    """Build out/model.onnx (one file, logits of the last row) from a Hugging Face Qwen2 directory.

    Raises ExportError when the builder fails or writes no graph.
    """
    source = _builder_source(trained, tokenizer_file, out / f"source-{precision}")
    built = out / f"built-{precision}"
    options = ["prune_lm_head=true", *(["block_size=32"] if precision == "int4" else [])]
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(built)]
    command += ["-p", precision, "-e", "cpu", "-c", str(out / "cache"), "--extra_options", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own list, no shell)
    if done.returncode or not (built / "model.onnx").exists():
        said = f"exit {done.returncode}; last output: {done.stderr[-600:]}"
        raise ExportError(f"onnxruntime-genai builder, {precision}: {said}; check the shapes in recipes.py")
    return _single_file(built / "model.onnx", out / f"{precision}.onnx")


def _builder_source(trained: Path, tokenizer_file: Path, source: Path) -> Path:
    """A copy of the trained directory with the tokenizer files that the builder insists on."""
    shutil.copytree(trained, source, dirs_exist_ok=True)
    shutil.copy(tokenizer_file, source / "tokenizer.json")
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
    (source / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    return source


def _single_file(graph: Path, target: Path) -> Path:
    """The graph with its external data folded in."""
    import onnx

    onnx.save_model(onnx.load(graph), target, save_as_external_data=False)
    return target


def assemble(tier: str, weights: Path, config: Path, tokenizer_file: Path, out: Path) -> Path:
    """Put a model directory together at out/tier (replacing it), all but the card and the manifest."""
    folder = out / tier
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(weights, folder / WEIGHTS[tier])
    shutil.copyfile(config, folder / "config.json")
    shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return folder


def write_model_manifest(folder: Path, tier: str, recipe: str) -> Path:
    """Write manifest.json of a finished directory; the model is named edgewise-reference-<tier>."""
    manifest = build_manifest(
        folder,
        name=f"edgewise-reference-{tier}",
        tier=tier,
        format=FORMATS[tier],
        weights=WEIGHTS[tier],
        context_tokens=CONTEXT_TOKENS,
        eos_ids=(END,),
        recipe=recipe,
    )
    return write_manifest(folder, manifest)
