"""findings.json and CARD.md in model directories: write both, check one against the other, add tables to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cloud_worker.forge.card.render import render
from edgewise.wire.errors import BadRequestError, EdgewiseError
from edgewise.wire.findings import FINDINGS_FILE, Findings, Table, load_findings
from edgewise.wire.manifest import MANIFEST_FILE, FileEntry, Manifest, load_manifest, sha256_file, write_manifest

CARD_FILE: Final = "CARD.md"


class NoFindingsError(BadRequestError):
    """A model directory without findings.json."""

    number, code = 1868, "findings_missing"


@dataclass(frozen=True, slots=True)
class Checked:
    """A card that was checked: its directory, and what is wrong with it (empty: it matches)."""

    directory: Path
    fault: str


def write_card(folder: Path, findings: Findings) -> Path:
    """Write findings.json and the CARD.md that it yields; returns the card. The manifest is written after this."""
    (folder / FINDINGS_FILE).write_bytes(findings.canonical())
    card = folder / CARD_FILE
    card.write_text(render(findings), encoding="utf-8")
    return card


def store(folder: Path, manifest: Manifest, findings: Findings) -> None:
    """Write findings and card, and the manifest that lists the findings: with new findings it is another version."""
    write_card(folder, findings)
    path = folder / FINDINGS_FILE
    entry = FileEntry(sha256_file(path), path.stat().st_size)
    write_manifest(folder, msgspec.structs.replace(manifest, files={**manifest.files, FINDINGS_FILE: entry}))


def add_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Put tables that were measured elsewhere into a directory's card, each in the place of one with its title.

    Raises NoFindingsError when the directory has no findings, and ManifestError when it is no model directory.
    """
    manifest, findings = load_manifest(folder, verify=False), load_findings(folder)
    if findings is None:
        raise NoFindingsError(
            "The model has no findings, so it has no card to add to",
            where=str(folder / FINDINGS_FILE),
            remedy=f"measure it first: python -m cloud_worker.forge card --measure --models {folder}",
        )
    titles = [table.title for table in tables]
    kept = [table for table in findings.tables if table.title not in titles]
    store(folder, manifest, msgspec.structs.replace(findings, tables=(*kept, *tables)))


def model_directories(home: Path) -> list[Path]:
    """The model directories in `home`, sorted; `home` itself when it is one."""
    if (home / MANIFEST_FILE).is_file():
        return [home]
    return sorted(path.parent for path in home.glob(f"*/{MANIFEST_FILE}"))


def check_card(folder: Path) -> Checked:
    """Whether the card is what the findings yield, and the findings are of these weights."""
    try:
        return Checked(folder, _fault(folder))
    except EdgewiseError as error:
        return Checked(folder, str(error))


def _fault(folder: Path) -> str:
    findings, manifest = load_findings(folder), load_manifest(folder, verify=False)
    if findings is None:
        return ""
    if FINDINGS_FILE not in manifest.files:
        return f"the manifest does not list {FINDINGS_FILE}; write the manifest again"
    if (folder / FINDINGS_FILE).read_bytes() != findings.canonical():
        return f"{FINDINGS_FILE} is not in canonical form; write the card again"
    for field in ("weights_digest", "tokenizer_digest", "template_digest"):
        if getattr(findings, field) != getattr(manifest, field):
            return f"the findings are of another model: {field} differs; measure this one"
    card = folder / manifest.card
    if not card.is_file() or card.read_text(encoding="utf-8") != render(findings):
        return f"{manifest.card} is not what {FINDINGS_FILE} yields; run the command `card --write`"
    return ""
