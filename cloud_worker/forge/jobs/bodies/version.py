"""The model directory that a body leaves: a graph with its files and its manifest, described for the job's result."""

from __future__ import annotations

from pathlib import Path

from cloud_worker.forge.export import ModelSource, assemble, write_model_manifest
from cloud_worker.forge.jobs.kinds import Bench
from edgewise.wire.forge_jobs import ModelResult
from edgewise.wire.manifest import MANIFEST_FILE, TOKENIZER_FILE, Manifest, parse_manifest

TIER = "edge"


def parent_of(directory: Path) -> Manifest | None:
    """The manifest of a directory that is a registered or reference model. Raises ManifestError for a damaged one."""
    path = directory / MANIFEST_FILE
    return parse_manifest(path.read_bytes(), str(path)) if path.is_file() else None


def edge_version(bench: Bench, source: ModelSource, graph: Path, recipe: str, name: str | None) -> ModelResult:
    """Put bench/model/edge together from a graph of `source`, and write its manifest.

    `name` defaults to the parent's, or the directory's, with the recipe behind it.
    """
    parent = parent_of(source.directory)
    known_as = parent.name if parent else source.directory.name
    tokenizer, config = source.directory / TOKENIZER_FILE, source.directory / "config.json"
    folder = assemble(TIER, graph, config, tokenizer, bench.folder / "model", source.speech.template)
    write_model_manifest(
        folder,
        TIER,
        recipe,
        name=name or f"{known_as}-{recipe}",
        context_tokens=parent.context_tokens if parent else source.sizes.max_position_embeddings,
        eos_ids=source.speech.eos_ids,
        parent=parent.id if parent else None,
    )
    return described(bench, folder)


def described(bench: Bench, folder: Path) -> ModelResult:
    """A finished directory as a result; its path is relative to the forge's data directory."""
    manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes(), str(folder / MANIFEST_FILE))
    return ModelResult(
        directory=str(folder.relative_to(bench.folder.parent.parent)),
        manifest_id=manifest.id,
        bytes=sum(path.stat().st_size for path in folder.iterdir()),
    )
