"""Whether a version may be registered: its findings are those that its manifest names, and they pass the gates.

Findings are data here; nothing is measured and no model is loaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from edgewise.wire.errors import ManifestError
from edgewise.wire.findings import FINDINGS_FILE, Findings, parse_findings
from edgewise.wire.gates import Gate, GateLimits, gates_of
from edgewise.wire.manifest import Manifest

Standing = Literal["passed", "overridden", "configured", "unjudged"]
FINDINGS_MAX_CHARS = 500_000
_DIGESTS = ("weights_digest", "tokenizer_digest", "template_digest")


@dataclass(frozen=True, slots=True)
class Judged:
    """The gates that applied to a version; none does where it claims no parent. `examined`: its findings tell of
    answers."""

    gates: tuple[Gate, ...]
    examined: bool = True

    @property
    def failing(self) -> list[Gate]:
        """Those that do not hold."""
        return [gate for gate in self.gates if not gate.holds]


def judge(manifest: Manifest, raw: str | None, parent: str | None, limits: GateLimits) -> Judged:
    """Judge a version by the text of its findings.json and that of its registered parent (a version of the catalogue).

    Raises ManifestError for findings that are not those of this manifest. A version that claims findings or a parent
    and comes without them fails.
    """
    if raw is None:
        return Judged(_unshown(manifest, limits), examined=False)
    findings = _checked(manifest, raw)
    above = parse_findings(parent.encode(), "the parent's findings.json") if parent is not None else None
    if manifest.parent is not None and above is None and findings.parent is None:
        missing = Gate(
            "findings of the parent", "all", None, 1, reason=f"version {manifest.parent[:12]}… has none here"
        )
        return Judged((missing, *gates_of(findings, None, limits)))
    return Judged(tuple(gates_of(findings, above, limits)), examined=bool(findings.cells))


def _unshown(manifest: Manifest, limits: GateLimits) -> tuple[Gate, ...]:
    """What a version without findings owes."""
    if FINDINGS_FILE not in manifest.files and manifest.parent is None:
        return ()
    reason = "its findings.json was not sent" if FINDINGS_FILE in manifest.files else "it has a parent and no findings"
    return (Gate("share of the parent's accuracy", "all", None, limits.accuracy_of_parent, reason=reason),)


def _checked(manifest: Manifest, raw: str) -> Findings:
    entry = manifest.files.get(FINDINGS_FILE)
    digest = hashlib.sha256(raw.encode()).hexdigest()
    if entry is None or entry.sha256 != digest:
        raise ManifestError(
            f"The findings that were sent (sha256 {digest[:12]}…) are not those of this version",
            where=FINDINGS_FILE,
            expected=f"sha256 {entry.sha256[:12]}…" if entry else f"a manifest that lists {FINDINGS_FILE}",
            remedy="send the findings.json that lies beside the manifest",
        )
    findings = parse_findings(raw.encode())
    if differing := [field for field in _DIGESTS if getattr(findings, field) != getattr(manifest, field)]:
        raise ManifestError(f"The findings are of another model: {', '.join(differing)} differ", where=FINDINGS_FILE)
    return findings
