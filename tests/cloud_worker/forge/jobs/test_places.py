"""A payload reaches what lies below the roots, by path or by version, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.jobs.places import PlaceRefusedError, Places
from tests.factories.models import write_tiny_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "models" / "mine").mkdir(parents=True)
    (tmp_path / "root" / "prompts.txt").write_text("hello")
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "root"


def test_a_path_below_a_root_is_found_relative_and_absolute(root: Path, tmp_path: Path) -> None:
    places = Places([tmp_path / "outside", root])
    mine = root / "models" / "mine"
    assert places.model("models/mine") == places.model(str(mine)) == mine
    assert places.file("prompts.txt") == root / "prompts.txt"


@pytest.mark.parametrize(
    "named",
    [
        "../outside",
        "models/../../outside",
        "link",
        "/etc",
        "/",
        "",
        "models/none",
        "prompts.txt",
        "a\0b",
        "0" * 64,
        "x" * 400,
    ],
)
def test_anything_else_is_refused(root: Path, named: str) -> None:
    with pytest.raises(PlaceRefusedError):
        Places([root / "models" if named == "" else root]).model(named or "mine/x")


def test_a_file_is_no_model_and_a_directory_no_file(root: Path) -> None:
    with pytest.raises(PlaceRefusedError):
        Places([root]).file("models")


def test_a_version_is_found_by_its_id_beside_a_damaged_manifest(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "manifest.json").write_text("{")
    manifest = write_tiny_model(root / "models" / "mine")
    assert Places([root]).model(manifest.id) == root / "models" / "mine"


@given(named=st.text(max_size=40))
def test_no_text_leads_out(tmp_path_factory: pytest.TempPathFactory, named: str) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzzed"
    root.mkdir(exist_ok=True)
    try:
        found = Places([root]).model(named)
    except PlaceRefusedError:
        return
    assert found.is_relative_to(root.resolve())


def test_a_manifest_that_cannot_be_read_hides_no_other(root: Path) -> None:
    (root / "a" / "manifest.json").mkdir(parents=True)
    mine = root / "models" / "mine"
    assert Places([root]).model(write_tiny_model(mine).id) == mine
