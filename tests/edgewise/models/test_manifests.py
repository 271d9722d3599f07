"""Manifests from outside: whatever they name, nothing is read or written beside the directory and the store."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path, PurePath

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.models import ModelStore
from edgewise.wire.errors import EdgewiseError, ManifestError
from edgewise.wire.manifest import parse_manifest
from tests.edgewise.models.directories import faults_of, write_directory

SECRET = b"nobody's business"
DIGEST = "d" * 64
pieces = st.sampled_from(
    ["..", ".", "/", "\\", "\0", "tensors", DIGEST, "secret", "model.onnx", "manifest.json", "a", "\n", "", "C:", "~"]
)
wild_names = st.one_of(st.lists(pieces, max_size=5).map("".join), st.lists(pieces, max_size=5).map("/".join), st.text())
plain_names = st.sampled_from(["secret", "model.onnx", f"tensors/{DIGEST}"])
digests = st.sampled_from([DIGEST, "e" * 64, "../../../planted", "../planted"])
wild_entries = st.fixed_dictionaries({"sha256": st.one_of(digests, wild_names), "bytes": st.integers()})
plain_entries = st.fixed_dictionaries({"sha256": digests, "bytes": st.integers(-1, len(SECRET))})
files = st.one_of(
    st.dictionaries(plain_names, plain_entries, min_size=1, max_size=2),
    st.dictionaries(st.one_of(plain_names, wild_names), st.one_of(plain_entries, wild_entries), max_size=4),
)
manifests = st.fixed_dictionaries(
    {
        "name": st.text(max_size=5),
        "tier": st.just("edge"),
        "format": st.just("onnx"),
        "context_tokens": st.integers(0, 9),
        "eos_ids": st.just([]),
        "files": files,
        "weights_digest": digests,
        "tokenizer_digest": digests,
        "template_digest": digests,
    }
)


@given(manifest=manifests)
def test_no_name_leaves_the_directory(manifest: dict[str, object]) -> None:
    try:
        parsed = parse_manifest(json.dumps(manifest).encode())
    except ManifestError:
        return
    for name, entry in parsed.files.items():
        parts = PurePath("directory", name).parts
        assert parts in {("directory", name), ("directory", "tensors", entry.sha256)}
        assert parts[-1] not in {"..", ".", "manifest.json"} and "\\" not in name and "\0" not in name


@settings(max_examples=60, deadline=None)
@given(manifest=manifests)
def test_no_manifest_writes_outside_the_store(manifest: dict[str, object]) -> None:
    """The store is asked with everything that a hostile manifest could name lying there."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        for folder in (place, place / "source", place / "source" / "tensors"):
            folder.mkdir(exist_ok=True)
            for name in ("secret", "model.onnx", DIGEST):
                (folder / name).write_bytes(SECRET)
        (place / "source" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8", errors="surrogatepass")
        before = seen(place)
        store = ModelStore(place / "inner" / "models")
        try:
            store.use(store.install(place / "source").version)
        except EdgewiseError:
            assert store.versions() == []
        assert seen(place) == before
        if (place / "inner").exists():
            assert faults_of(place / "inner" / "models", settled=True) == []


@pytest.mark.parametrize(
    "name", ["\x1b]0;mine\x07", "a\nb", "\u202eabc", "n" * 129], ids=["escape", "line", "bidi", "long"]
)
def test_a_name_that_a_terminal_would_obey_is_refused(tmp_path: Path, name: str) -> None:
    good = msgspec.json.decode(write_directory(tmp_path).canonical())
    with pytest.raises(ManifestError, match="cannot be shown") as refused:
        parse_manifest(json.dumps(good | {"name": name}).encode())
    assert str(refused.value).isprintable()


@given(raw=st.binary(max_size=300))
def test_bytes_are_a_manifest_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ManifestError):
        parse_manifest(raw)


def seen(place: Path) -> dict[str, bytes]:
    """Every file outside the store."""
    files = (path for path in place.rglob("*") if path.is_file() and place / "inner" / "models" not in path.parents)
    return {str(path): path.read_bytes() for path in files}
