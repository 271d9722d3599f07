"""The model names that clients may ask for: those of the manifests, and one for the family."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.answers.families import FAMILY_NAME, find_family, load_families
from edgewise.wire.errors import ModelMissingError, UnknownModelError
from tests.factories.models import write_tiny_model


def test_a_model_is_known_by_its_manifest_s_name(tmp_path: Path) -> None:
    (tmp_path / "any-folder").mkdir()
    write_tiny_model(tmp_path / "any-folder", context_tokens=128)
    families = load_families([tmp_path / "any-folder"], ["upstream-model"])
    assert list(families) == [FAMILY_NAME, "tiny-cloud", "upstream-model"]
    assert find_family(families, "tiny-cloud").context_tokens == 128
    with pytest.raises(UnknownModelError, match="any-folder"):
        find_family(families, "any-folder")


def test_a_directory_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError):
        load_families([tmp_path], [])
