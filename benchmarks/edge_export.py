"""A random directory as a model directory of ours: `python -m benchmarks.edge_export HF_DIR FOLDER NAME`.

The export of `edgewise model export` without its comparison with torch, which says nothing of random weights.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cloud_worker.forge.export.folder import assemble, write_model_manifest
from cloud_worker.forge.export.precision import SHIPPED, export_onnx, method_name
from cloud_worker.forge.export.source import read_source


def export(directory: Path, folder: Path, name: str) -> None:
    """Fill `folder`. Raises what the export raises."""
    source = read_source(directory)
    work = folder.with_name(f"{folder.name}-float")
    work.mkdir(exist_ok=True)
    try:
        graph = export_onnx(directory, directory / "tokenizer.json", work, SHIPPED)
        assemble(
            folder.name,
            graph,
            directory / "config.json",
            directory / "tokenizer.json",
            folder.parent,
            source.speech.template,
        )
        write_model_manifest(
            folder,
            "edge",
            f"{method_name(SHIPPED, source.sizes)}, random weights",
            name=name,
            context_tokens=source.sizes.max_position_embeddings,
            eos_ids=source.speech.eos_ids,
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
