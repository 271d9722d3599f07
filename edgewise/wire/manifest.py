"""The model manifest: what a model version is made of. Its id is the sha256 of its canonical JSON (contracts.md).

Building one from a directory and checking a directory against one live here; downloading and trusting do not, nor does
keeping versions on a device (edgewise/models).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgewise.wire.errors import ManifestError, ModelDigestError, ModelMissingError

MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"
TEMPLATE_FILE = "chat_template.jinja"
TENSOR_FOLDER = "tensors"
"""The one folder in a model directory: tensors of a graph, each in a file that is named by its own sha256."""
_TENSOR_FILE = re.compile(rf"{TENSOR_FOLDER}/([0-9a-f]{{64}})")
_NAME_MAX_BYTES = 255
MODEL_NAME_MAX_CHARS = 128
_BLOCK_BYTES = 1024 * 1024


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a model version: lower-case hex sha256 and size in bytes."""

    sha256: str
    bytes: int


class TensorEntry(msgspec.Struct, frozen=True):
    """One tensor: sha256 of its little-endian bytes, dtype name, shape."""

    sha256: str
    dtype: str
    shape: tuple[int, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A model version. Field order does not matter: canonical JSON sorts the keys."""

    name: str
    tier: str
    format: str
    context_tokens: int
    eos_ids: tuple[int, ...]
    files: dict[str, FileEntry]
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    tensors: dict[str, TensorEntry] = {}
    parent: str | None = None
    recipe: str = ""
    card: str = "CARD.md"

    @property
    def id(self) -> str:
        """The model version's id: sha256 of the canonical JSON, lower-case hex."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def graph_files(self) -> dict[str, FileEntry]:
        """The ONNX graph and the files with its tensors; empty for weights of another format."""
        return {name: entry for name, entry in self.files.items() if ".onnx" in name or _TENSOR_FILE.fullmatch(name)}

    def canonical(self) -> bytes:
        """UTF-8 JSON, keys sorted, no spaces: the bytes that are hashed and signed."""
        return msgspec.json.encode(self, order="sorted")


def sha256_file(path: Path) -> str:
    """Lower-case hex sha256 of a file, read in 1 MiB blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def build_manifest(
    directory: Path,
    *,
    name: str,
    tier: str,
    format: str,
    weights: str,
    context_tokens: int,
    eos_ids: tuple[int, ...],
    tensors: dict[str, TensorEntry] | None = None,
    parent: str | None = None,
    recipe: str = "",
) -> Manifest:
    """Describe a model directory. `weights` names the weight file in it; card and manifest are not hashed."""
    listed = sorted(p.name for p in directory.iterdir() if p.is_file() and p.name not in {MANIFEST_FILE, "CARD.md"})
    listed += sorted(f"{TENSOR_FOLDER}/{p.name}" for p in directory.glob(f"{TENSOR_FOLDER}/*"))
    files = {n: FileEntry(sha256_file(directory / n), (directory / n).stat().st_size) for n in listed}
    for needed in (weights, TOKENIZER_FILE, TEMPLATE_FILE):
        if needed not in files:
            raise ModelMissingError(f"{needed} is missing", where=str(directory), remedy="rebuild the model directory")
    return Manifest(
        name=name,
        tier=tier,
        format=format,
        context_tokens=context_tokens,
        eos_ids=eos_ids,
        files=files,
        weights_digest=files[weights].sha256,
        tokenizer_digest=files[TOKENIZER_FILE].sha256,
        template_digest=files[TEMPLATE_FILE].sha256,
        tensors=tensors or {},
        parent=parent,
        recipe=recipe,
    )


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Write `manifest.json` (readable form of the same JSON); returns its path."""
    path = directory / MANIFEST_FILE
    path.write_bytes(msgspec.json.format(manifest.canonical(), indent=2) + b"\n")
    return path


def parse_manifest(raw: bytes, where: str = MANIFEST_FILE) -> Manifest:
    """Decode untrusted manifest bytes. Raises ManifestError."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"The manifest does not parse: {error}", where=where) from error
    if len(manifest.name) > MODEL_NAME_MAX_CHARS or not manifest.name.isprintable():
        raise ManifestError(
            f"The manifest's model name cannot be shown: {manifest.name[:80]!a}",
            where=where,
            expected=f"at most {MODEL_NAME_MAX_CHARS} characters that can be printed",
        )
    for name, entry in manifest.files.items():
        if not _is_inside(name, entry.sha256):
            raise ManifestError(f"The manifest names a file outside its directory: {name[:300]!r}", where=where)
    return manifest


def _is_inside(name: str, sha256: str) -> bool:
    """Whether a name is that of a file in the directory itself, or of a tensor by its digest. No other has a folder."""
    if tensor := _TENSOR_FILE.fullmatch(name):
        return tensor[1] == sha256
    taken = {"", ".", "..", MANIFEST_FILE, TENSOR_FOLDER}
    return name not in taken and not {"/", "\\", "\0"} & {*name} and len(name.encode()) <= _NAME_MAX_BYTES


def load_manifest(directory: Path, *, verify: bool = True, progress: Callable[[str], None] | None = None) -> Manifest:
    """Read a directory's manifest and, when `verify`, check every file's size and hash against it.

    Raises ModelMissingError (directory or file absent), ManifestError, ModelDigestError.
    """
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise ModelMissingError(
            f"There is no model in {directory}",
            where=str(path),
            expected="a model directory with manifest.json",
            remedy="point the model setting at such a directory, or run `make reference-models`",
        )
    manifest = parse_manifest(path.read_bytes(), str(path))
    for name, entry in manifest.files.items():
        if progress:
            progress(name)
        _check_file(directory / name, entry, verify)
    return manifest


def _check_file(path: Path, entry: FileEntry, verify: bool) -> None:
    if not path.is_file():
        raise ModelMissingError(
            f"The model file {path.name} is missing", where=str(path), remedy="copy the model directory again"
        )
    if not verify:
        return
    found = sha256_file(path)
    if path.stat().st_size != entry.bytes or found != entry.sha256:
        raise ModelDigestError(
            f"The model file {path.name} is not the one that its manifest describes (sha256 {found[:12]}…)",
            where=str(path),
            expected=f"sha256 {entry.sha256[:12]}…, {entry.bytes} bytes",
            remedy="copy the model directory again, or rebuild its manifest if you changed it on purpose",
        )
