"""ModelCatalog: registers manifests and checks what nodes offer against them. Nothing is loaded here."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.database import Database
from control_plane.model_versions.errors import ManifestRefusedError, VersionUnknownError
from control_plane.model_versions.gates import Standing, judge
from control_plane.model_versions.repository import ModelVersionRepository
from control_plane.model_versions.tables import ModelVersionRow
from control_plane.text import clip
from edgewise.wire.errors import ManifestError, ModelDigestError, UnknownModelError
from edgewise.wire.findings import FINDINGS_FILE
from edgewise.wire.gates import GateFailedError, GateLimits
from edgewise.wire.manifest import Manifest, load_manifest, parse_manifest

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,15}\Z")
_CHECKED = ("weights_digest", "tokenizer_digest", "template_digest")
_CONTEXT_MAX_TOKENS = 2**31 - 1
CARD_MAX_CHARS = 200_000
AUDIT_CHARS = 160
_log = logging.getLogger(__name__)


class Offer(Protocol):
    """What a node says in its hello about one loaded model (`edgewise.wire.frames.ModelOffer`)."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def weights_digest(self) -> str: ...
    @property
    def tokenizer_digest(self) -> str: ...
    @property
    def template_digest(self) -> str: ...


class ModelCatalog:
    """Model versions in SQL, all of them in memory too: a hello is checked without a query."""

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        *,
        allow_unregistered: bool = False,
        now: Callable[[], datetime] = utc_now,
        tell: Callable[[], None] = lambda: None,
        limits: GateLimits | None = None,
    ) -> None:
        """`tell` is called after each registration made here, so that other gateways `reload` it."""
        self._limits = limits or GateLimits()
        self._tell_others = tell
        self._database = database
        self._audit = audit
        self._allow_unregistered = allow_unregistered
        self._now = now
        self._by_name: dict[str, dict[str, ModelVersionRow]] = {}

    async def load(self) -> None:
        """Take all versions from SQL; again later, it takes in what other processes registered."""
        async with self._database.reading() as session:
            rows = await ModelVersionRepository(session).all()
        self._by_name = {}
        for row in rows:
            self._remember(row)

    async def reload(self) -> None:
        """Take in what other processes registered; when nothing was, this costs one small query."""
        async with self._database.reading() as session:
            registered = await ModelVersionRepository(session).count()
        if registered != len(self.versions()):
            await self.load()

    async def register(
        self,
        manifest: Manifest,
        *,
        name: str | None = None,
        directory: Path | None = None,
        card: str | None = None,
        findings: str | None = None,
        override: str | None = None,
        actor: str = SYSTEM,
    ) -> ModelVersionRow:
        """Register a manifest under `name` (its own by default); again, it changes nothing.

        Raises ManifestError, and GateFailedError unless `override` says why it may be used all the same or it comes
        from a `directory` that the control plane was started with.
        """
        _require_sound(manifest, name or manifest.name)
        row = self._row(manifest, name or manifest.name, directory, card, actor)
        if self._by_name.get(row.name, {}).get(row.id) is None:
            row.findings, row.gates = findings, self._standing(manifest, card, findings, override, directory)
        async with self._database.session(lock="edgewise.models") as session:
            models = ModelVersionRepository(session)
            known = await models.get(row.name, row.id)
            if known is None:
                models.add(row)
                target = f"model/{row.name}"
                self._audit.record(session, actor=actor, action="model.register", target=target, after=row.id)
                if row.gates == "overridden":
                    said = clip(override or "", AUDIT_CHARS)
                    self._audit.record(
                        session, actor=actor, action="model.override", target=target, before=row.id, after=said
                    )
        self._remember(known or row)
        if known is None:
            self._tell_others()
        return known or row

    async def register_directory(self, directory: Path, *, name: str | None = None) -> ModelVersionRow:
        """Register the manifest of a model directory, whose files must be there; the node that loads them hashes them.

        Raises ModelMissingError, ManifestError.
        """
        manifest = load_manifest(directory, verify=False)
        card, findings = read_card(directory, manifest), read_findings(directory)
        return await self.register(manifest, name=name, directory=directory, card=card, findings=findings)

    async def register_json(
        self,
        raw: bytes,
        *,
        actor: str,
        card: str | None = None,
        expected_id: str | None = None,
        findings: str | None = None,
        override: str | None = None,
    ) -> ModelVersionRow:
        """Register a manifest that an operator sent. Raises GateFailedError, and ManifestRefusedError, also when the
        sha256 of its canonical JSON is not `expected_id`."""
        try:
            manifest = parse_manifest(raw)
            _require_id(manifest, expected_id)
            return await self.register(manifest, card=card, findings=findings, override=override, actor=actor)
        except ManifestError as error:
            raise ManifestRefusedError.of(error) from error

    def find(self, version_id: str, name: str | None = None) -> ModelVersionRow:
        """One version, of any name or of this one. Raises VersionUnknownError."""
        for row in self.versions(name):
            if row.id == version_id:
                return row
        raise VersionUnknownError(name or "", version_id)

    def versions(self, name: str | None = None) -> Sequence[ModelVersionRow]:
        """Versions of one name, or all, in the order in which they were registered."""
        if name is not None:
            return list(self._by_name.get(name, {}).values())
        return [row for versions in self._by_name.values() for row in versions.values()]

    def admit_models(self, offers: Iterable[Offer]) -> None:
        """Check a node's hello. Raises ModelDigestError when a registered name comes with other bytes, and
        UnknownModelError for a name that is not registered, unless those are allowed."""
        for offer in offers:
            known = self._by_name.get(offer.name)
            if known:
                _require_match(offer, known)
            elif not self._allow_unregistered:
                raise UnknownModelError(
                    f"The model {offer.name} is not registered here",
                    where=f"the hello offers version {_short(offer.version)}",
                    expected=f"one of {', '.join(sorted(self._by_name)) or 'none yet'}",
                    remedy="send its manifest.json to POST /admin/v1/models, or set "
                    "EDGEWISE_ALLOW_UNREGISTERED_MODELS=1 on the control plane",
                )

    def _standing(
        self,
        manifest: Manifest,
        card: str | None,
        findings: str | None,
        override: str | None,
        directory: Path | None,
    ) -> Standing:
        """How a new version stands. Raises GateFailedError, ManifestError."""
        if findings is not None and card is None:
            raise ManifestError("The version has findings and no card", where=manifest.card, remedy="send both")
        parent = next((row.findings for row in self.versions() if row.id == manifest.parent), None)
        judged = judge(manifest, findings, parent, self._limits)
        if not judged.failing:
            return "passed" if judged.examined else "unjudged"
        if override is None and directory is None:
            raise GateFailedError(manifest.name, judged.failing)
        said = "; ".join(str(gate) for gate in judged.failing)
        _log.warning("model %s, version %s does not pass its gates: %s", manifest.name, _short(manifest.id), said)
        return "configured" if override is None else "overridden"

    def _remember(self, row: ModelVersionRow) -> None:
        self._by_name.setdefault(row.name, {})[row.id] = row

    def _row(
        self, manifest: Manifest, name: str, directory: Path | None, card: str | None, actor: str
    ) -> ModelVersionRow:
        return ModelVersionRow(
            id=manifest.id,
            name=name,
            tier=manifest.tier,
            format=manifest.format,
            context_tokens=manifest.context_tokens,
            weights_digest=manifest.weights_digest,
            tokenizer_digest=manifest.tokenizer_digest,
            template_digest=manifest.template_digest,
            directory=str(directory) if directory else None,
            manifest=manifest.canonical().decode(),
            card=None if card is None else clip(card, CARD_MAX_CHARS),
            registered_at=self._now(),
            registered_by=actor,
        )


def read_card(directory: Path, manifest: Manifest) -> str | None:
    """The card that lies beside the model; None where there is none that can be read."""
    path = directory / Path(manifest.card).name
    try:
        return path.read_text(encoding="utf-8")[:CARD_MAX_CHARS]
    except (OSError, UnicodeDecodeError, ValueError):
        return None


def read_findings(directory: Path) -> str | None:
    """The text of findings.json that lies beside the model; None where there is none that can be read."""
    try:
        return (directory / FINDINGS_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _require_id(manifest: Manifest, expected: str | None) -> None:
    if expected is not None and manifest.id != expected:
        raise ManifestError(
            f"The sha256 of this manifest's canonical JSON is {_short(manifest.id)}, not {_short(expected)}",
            where="manifest.json",
            expected=f"version {expected}",
        )


def _require_sound(manifest: Manifest, name: str) -> None:
    """What JSON types cannot say: forms of names and digests, positive sizes."""
    faults = [field for field in _CHECKED if not _SHA256.match(getattr(manifest, field))]
    faults += [f"files.{file}.sha256" for file, entry in manifest.files.items() if not _SHA256.match(entry.sha256)]
    faults += [] if MODEL_NAME.match(name) else ["name"]
    faults += [field for field in ("tier", "format") if not _WORD.match(getattr(manifest, field))]
    faults += [] if 0 < manifest.context_tokens <= _CONTEXT_MAX_TOKENS else ["context_tokens"]
    if faults:
        raise ManifestError(
            f"The manifest has fields that cannot be right: {', '.join(faults[:5])}",
            where="manifest.json",
            expected="sha256 digests as 64 lower-case hex digits, plain names, a positive context size",
        )


def _require_match(offer: Offer, known: dict[str, ModelVersionRow]) -> None:
    row = known.get(offer.version) or next(reversed(known.values()))
    offered, registered = [("version", offer.version)], [("version", row.id)]
    offered += [(field, getattr(offer, field)) for field in _CHECKED]
    registered += [(field, getattr(row, field)) for field in _CHECKED]
    differing = [(field, a, b) for (field, a), (_, b) in zip(offered, registered, strict=True) if a != b]
    if differing:
        raise ModelDigestError(
            f"The model {offer.name} on this node is not the one that is registered here: "
            + ", ".join(f"{field} {_short(a)} instead of {_short(b)}" for field, a, b in differing),
            where="the models of the hello frame",
            expected=f"version {_short(row.id)} or another registered one ({len(known)} known)",
            remedy="copy the registered model directory to the node, or send the node's manifest.json to "
            "POST /admin/v1/models",
        )


def _short(digest: str) -> str:
    return f"{digest[:12]}…" if digest else "(none)"
