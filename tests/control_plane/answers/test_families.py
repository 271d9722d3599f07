"""The model names that clients may ask for: those of the manifests, and one for the family."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.answers.families import FAMILY_NAME, find_family, load_families, shared_tokens
from edgewise.wire.errors import ModelMissingError, UnknownModelError
from tests.factories.models import write_tiny_model


def test_a_model_is_known_by_its_manifest_s_name(tmp_path: Path) -> None:
    (tmp_path / "any-folder").mkdir()
    write_tiny_model(tmp_path / "any-folder", context_tokens=128)
    families = load_families([tmp_path / "any-folder"], {"upstream-model": None})
    assert list(families) == [FAMILY_NAME, "tiny-cloud", "upstream-model"]
    assert find_family(families, "tiny-cloud").context_tokens == 128
    with pytest.raises(UnknownModelError, match="any-folder"):
        find_family(families, "any-folder")


def test_an_upstream_by_ids_shares_the_tokenizer_of_the_models_here(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, context_tokens=128)
    families = load_families([tmp_path], {"in-text": None, "by-ids": 0, "long": 4096})
    tokens = shared_tokens(families)
    assert tokens is not None and tokens.context_tokens == 128
    assert families["by-ids"].tokenizer is tokens.tokenizer and families["by-ids"].context_tokens == 128
    assert families["long"].tokenizer is tokens.tokenizer and families["long"].context_tokens == 4096
    assert families["in-text"].tokenizer is None
    assert shared_tokens(load_families([], {"by-ids": 0})) is None


def test_a_directory_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError):
        load_families([tmp_path], {})
