"""Finding the model directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.local.models import MODELS_VARIABLE, find_model
from edgewise.wire.errors import ManifestError, ModelMissingError
from edgewise.wire.manifest import MANIFEST_FILE, FileEntry, Manifest, write_manifest


def make_model(directory: Path, name: str, tokenizer: str = "") -> Path:
    directory.mkdir(parents=True)
    sha = "0" * 64
    manifest = Manifest(
        name=name, tier="edge", format="onnx", context_tokens=8, eos_ids=(0,), files={"model.onnx": FileEntry(sha, 1)},
        weights_digest=sha, tokenizer_digest=tokenizer or sha, template_digest=sha,
    )  # fmt: skip
    (directory / "model.onnx").write_bytes(b"w")
    write_manifest(directory, manifest)
    return directory


def test_a_given_directory_comes_first(tmp_path: Path) -> None:
    given = make_model(tmp_path / "mine", "mine")
    environ = {MODELS_VARIABLE: str(make_model(tmp_path / "home" / "edge", "theirs").parent)}
    found = find_model("edge", given, environ)
    assert found.path == given


def test_the_variable_comes_before_the_checkout(tmp_path: Path) -> None:
    home = make_model(tmp_path / "home" / "cloud", "by variable").parent
    make_model(tmp_path / "reference_models" / "cloud", "of the checkout")
    assert find_model("cloud", None, {MODELS_VARIABLE: str(home)}, tmp_path).path == home / "cloud"
    assert find_model("cloud", None, {}, tmp_path).path == tmp_path / "reference_models" / "cloud"


def test_a_missing_model_names_the_ways_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="There is no cloud model") as error:
        find_model("cloud", None, {}, tmp_path)
    assert "--cloud-model" in error.value.remedy
    assert MODELS_VARIABLE in error.value.remedy


def test_a_broken_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(ManifestError):
        find_model("edge", tmp_path)
