"""What both directories get last: findings, cards and manifests. The cloud version is the edge version's parent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud_worker.forge.card.files import CARD_FILE, write_card
from cloud_worker.forge.export import write_model_manifest
from cloud_worker.forge.export.checkpoint import WEIGHTS_FILE
from cloud_worker.forge.export.folder import GRAPH_FILE
from cloud_worker.forge.import_model.check import Candidate
from cloud_worker.forge.import_model.judge import FAMILY, Question, Views, agreement, cells
from edgewise.wire.findings import FINDINGS_FILE, CellFound, Findings, ParentFound
from edgewise.wire.gates import gates_of
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, load_manifest, sha256_file

RUNTIMES: Final = {"edge": "ONNX Runtime, one thread", "cloud": "torch, float32, through transformers"}
_WEIGHTS: Final = {"edge": GRAPH_FILE, "cloud": WEIGHTS_FILE}


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A finished model directory and its manifest's id; `bytes` of all files."""

    directory: str
    manifest_id: str
    bytes: int


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """Both versions, and every gate of the edge version: what it says and whether it holds."""

    edge: Version
    cloud: Version
    gates: tuple[tuple[str, bool], ...]


def describe(
    out: Path,
    name: str,
    method: str,
    candidate: Candidate,
    exam: Sequence[Question],
    examination: str,
    parent: Views,
    edge: Views,
) -> Described:
    """Write findings.json, CARD.md and manifest.json into out/cloud and out/edge."""
    notes = _notes(candidate, method)
    cloud_found = _findings(out / "cloud", name, "cloud", examination, cells(exam, parent), notes)
    cloud = _finish(out / "cloud", f"import of {candidate.sizes.model_type}", candidate, cloud_found, None)
    edge_found = msgspec.structs.replace(
        _findings(out / "edge", name, "edge", examination, cells(exam, edge), notes),
        agreement=agreement(exam, edge),
        parent=ParentFound(name=cloud_found.name, weights_digest=cloud_found.weights_digest, cells=cloud_found.cells),
    )
    made = _finish(out / "edge", f"import, {method}", candidate, edge_found, cloud.manifest_id)
    gates = tuple((str(gate), gate.holds) for gate in gates_of(edge_found)) if exam else ()
    return Described(edge=made, cloud=cloud, gates=gates)


def _findings(
    folder: Path, name: str, tier: str, examination: str, found: tuple[CellFound, ...], notes: str
) -> Findings:
    weights = folder / _WEIGHTS[tier]
    return Findings(
        name=f"{name}-{tier}",
        tier=tier,
        runtime=RUNTIMES[tier],
        weights_digest=sha256_file(weights),
        weights_bytes=sum(path.stat().st_size for path in folder.glob(f"{weights.name}*")),
        tokenizer_digest=sha256_file(folder / TOKENIZER_FILE),
        template_digest=sha256_file(folder / TEMPLATE_FILE),
        examination=examination,
        examination_seed=0,
        cells=found,
        notes=notes,
    )


def _notes(candidate: Candidate, method: str) -> str:
    lines = [
        f"Imported: {candidate.sizes.model_type}, {candidate.sizes.parameters:,} parameters. The edge version is"
        f" quantized by {method}; the cloud version holds the weights as they came.",
        f"The family `{FAMILY}` are the prompts of whoever imported it; where they hold no answer, the reference is"
        " what the model said before it was quantized.",
        *(f"Mind: {warning}." for warning in candidate.warnings),
    ]
    if candidate.cloud_fault:
        lines.append(f"The cloud version cannot be run by the cloud worker now: {candidate.cloud_fault}.")
    return "\n\n".join(lines)


def _finish(folder: Path, recipe: str, candidate: Candidate, found: Findings, parent: str | None) -> Version:
    """Findings and card, then the manifest, which lists them."""
    if found.cells:
        write_card(folder, found)
    else:
        (folder / FINDINGS_FILE).unlink(missing_ok=True)
        text = f"# {found.name}\n\n{found.notes}\n\nIt was not judged: no prompts were given.\n"
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
    eos_ids = candidate.source.speech.eos_ids
    context = candidate.context_tokens
    write_model_manifest(
        folder, found.tier, recipe, name=found.name, context_tokens=context, eos_ids=eos_ids, parent=parent
    )
    manifest = load_manifest(folder, verify=False)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Version(directory=str(folder), manifest_id=manifest.id, bytes=size)
