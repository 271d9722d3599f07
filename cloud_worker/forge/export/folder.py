"""A finished model directory: weights, config.json, tokenizer.json, chat_template.jinja; then card and manifest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloud_worker.forge.export.checkpoint import WEIGHTS_FILE, read_header
from cloud_worker.forge.export.graphs import graph_bytes, graph_files, graph_tensors
from cloud_worker.forge.export.tensor_files import APART_BYTES, save_with_tensor_files
from cloud_worker.forge.recipes import CONTEXT_TOKENS
from cloud_worker.forge.tokenizer import CHAT_TEMPLATE, END
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, TensorEntry, build_manifest, write_manifest

GRAPH_FILE: Final = "model.onnx"
WEIGHTS: Final = {"draft": WEIGHTS_FILE, "edge": GRAPH_FILE, "cloud": WEIGHTS_FILE}
"""The weight file of each tier of the reference family; FORMATS says the same in the manifest's words."""
FORMATS: Final = {"draft": "safetensors", "edge": "onnx", "cloud": "safetensors"}


def weights_name(weights: Path) -> str:
    """What a weight file is called in a model directory, by its kind."""
    return GRAPH_FILE if weights.suffix == ".onnx" else WEIGHTS_FILE


def assemble(
    tier: str,
    weights: Path,
    config: Path,
    tokenizer_file: Path,
    out: Path,
    template: str = CHAT_TEMPLATE,
    tensors: bool | None = None,
) -> Path:
    """Put a model directory together at out/tier (replacing it), all but the card and the manifest. `tensors`: as in
    `place_weights`."""
    folder = out / tier
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place_weights(weights, folder, tensors)
    shutil.copyfile(config, folder / "config.json")
    shutil.copyfile(tokenizer_file, folder / TOKENIZER_FILE)
    (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8")
    return folder


def place_weights(weights: Path, folder: Path, tensors: bool | None = None) -> Path:
    """Copy a graph (with its data file, under the name that the graph knows) or a safetensors file into `folder`.

    `tensors`: whether a graph's tensors get files of their own; None gives them to large graphs.
    """
    target = folder / weights_name(weights)
    graph = weights.suffix == ".onnx"
    apart = graph and (graph_bytes(weights) >= APART_BYTES if tensors is None else tensors)
    if apart or (graph and len(graph_files(weights)) > 1):
        from cloud_worker.forge.export.graphs import load_graph, save_graph

        model = load_graph(weights)
        return save_with_tensor_files(model, target) if apart else save_graph(model, target)
    shutil.copyfile(weights, target)
    return target


def tensors_of(weights: Path) -> dict[str, TensorEntry]:
    """The manifest's tensors of a graph or a safetensors file. Raises CheckpointFileError, GraphUnfitError."""
    if weights.suffix == ".onnx":
        return graph_tensors(weights)
    return {name: stored.entry() for name, stored in sorted(read_header(weights).items())}


def write_model_manifest(
    folder: Path,
    tier: str,
    recipe: str,
    *,
    name: str | None = None,
    context_tokens: int = CONTEXT_TOKENS,
    eos_ids: Sequence[int] = (END,),
    parent: str | None = None,
) -> Path:
    """Write manifest.json of a finished directory, tensors included; `name` defaults to edgewise-reference-<tier>."""
    weights = folder / (GRAPH_FILE if (folder / GRAPH_FILE).exists() else WEIGHTS_FILE)
    manifest = build_manifest(
        folder,
        name=name or f"edgewise-reference-{tier}",
        tier=tier,
        format="onnx" if weights.name == GRAPH_FILE else "safetensors",
        weights=weights.name,
        context_tokens=context_tokens,
        eos_ids=tuple(eos_ids),
        tensors=tensors_of(weights),
        parent=parent,
        recipe=recipe,
    )
    return write_manifest(folder, manifest)
