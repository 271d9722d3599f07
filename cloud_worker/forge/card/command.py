"""`python -m cloud_worker.forge card`: check cards against their findings, write them, or measure models anew."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import msgspec

from cloud_worker.forge import tokenizer
from cloud_worker.forge.card.files import check_card, model_directories, store
from cloud_worker.forge.card.measure import RUNTIMES, Candidate, Examination, sit
from cloud_worker.forge.evaluate.decoder import open_decoder
from edgewise.wire.findings import FINDINGS_FILE, Findings, load_findings
from edgewise.wire.manifest import Manifest, load_manifest


def add_arguments(command: argparse.ArgumentParser) -> None:
    """--check, --write or --measure, and where."""
    command.add_argument("--models", type=Path, default=Path("reference_models"), help="folder of model directories")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare cards with what findings.json yields (default)")
    what.add_argument("--write", action="store_true", help="write CARD.md from findings.json")
    what.add_argument("--measure", action="store_true", help="examine the models, write findings, card and manifest")
    command.add_argument("--per-cell", type=int, default=12, help="with --measure: exercises a family, grade, language")


def run(given: argparse.Namespace, say: Callable[[str], None] = print) -> int:
    """Run the command; returns the exit status: 1 when a card does not match or there is no model."""
    folders = model_directories(given.models)
    if not folders:
        say(f"{given.models}: no model directories there; expected folders with manifest.json")
        return 1
    if given.measure:
        measure(folders, given.per_cell)
    elif given.write:
        for folder in folders:
            _rewrite(folder, say)
    return _check(folders, say)


def _check(folders: list[Path], say: Callable[[str], None]) -> int:
    faults = 0
    for folder in folders:
        checked = check_card(folder)
        faults += bool(checked.fault)
        silent = "matches" if has_findings(folder) else f"has no {FINDINGS_FILE}; nothing to compare"
        say(f"{folder}: {checked.fault or silent}")
    return 1 if faults else 0


def has_findings(folder: Path) -> bool:
    """Whether there is a findings.json at all."""
    return (folder / FINDINGS_FILE).is_file()


def _rewrite(folder: Path, say: Callable[[str], None]) -> None:
    findings = load_findings(folder)
    if findings is None:
        say(f"{folder}: no {FINDINGS_FILE}; its card stays as it is")
        return
    store(folder, load_manifest(folder, verify=False), findings)


def measure(folders: list[Path], per_cell: int) -> None:
    """Examine shipped directories. What findings.json already says of training, parent, tables and notes stays."""
    manifests = {folder: load_manifest(folder) for folder in folders}
    candidates = [_candidate(folder, manifest) for folder, manifest in manifests.items()]
    encoder = tokenizer.load(folders[0] / "tokenizer.json")
    found = sit(Examination.drawn(encoder, per_cell), candidates)
    for folder, manifest in manifests.items():
        store(folder, manifest, _kept(found[manifest.tier], load_findings(folder)))


def _candidate(folder: Path, manifest: Manifest) -> Candidate:
    weights = next(name for name, entry in manifest.files.items() if entry.sha256 == manifest.weights_digest)
    runtime = RUNTIMES.get(manifest.format, manifest.format)
    return Candidate(manifest.name, manifest.tier, folder, weights, runtime, open_decoder(folder))


def _kept(new: Findings, old: Findings | None) -> Findings:
    """The new findings with what cannot be measured from the directory; a parent only if it sat the same exercises."""
    if old is None or old.weights_digest != new.weights_digest:
        return new
    kept = msgspec.structs.replace(new, made=old.made, tables=old.tables, notes=old.notes)
    if old.examination != new.examination:
        return kept
    return msgspec.structs.replace(kept, parent=old.parent, agreement=old.agreement)
