"""Cards and findings in directories: what is written matches, and each way not to match is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cloud_worker.forge.__main__ import main
from cloud_worker.forge.card import CARD_FILE, add_tables, check_card, write_card
from cloud_worker.forge.card.files import NoFindingsError, store
from edgewise.wire.findings import FINDINGS_FILE, Findings, Table, load_findings
from edgewise.wire.manifest import build_manifest, load_manifest, write_manifest
from tests.factories.findings import findings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model directory with findings of its own and the card that they yield."""
    home = tmp_path / "models" / "edge"
    home.mkdir(parents=True)
    for name in ("model.onnx", "tokenizer.json", "chat_template.jinja"):
        (home / name).write_bytes(name.encode())
    write_card(home, describe(home))
    describe(home)
    return home


def describe(home: Path) -> Findings:
    """Write the manifest as it must now be; findings of these files."""
    manifest = build_manifest(
        home, name="m", tier="edge", format="onnx", weights="model.onnx", context_tokens=64, eos_ids=(1,)
    )
    write_manifest(home, manifest)
    digests = {name: getattr(manifest, name) for name in ("weights_digest", "tokenizer_digest", "template_digest")}
    return findings(**digests)


def edit_card(home: Path) -> None:
    card = home / "CARD.md"
    card.write_text(card.read_text(encoding="utf-8").replace("96.0", "99.0"), encoding="utf-8")


def edit_findings(home: Path) -> None:
    (home / FINDINGS_FILE).write_bytes(msgspec.json.format((home / FINDINGS_FILE).read_bytes()))


def other_weights(home: Path) -> None:
    (home / "model.onnx").write_bytes(b"other")
    describe(home)


def unlisted(home: Path) -> None:
    manifest = load_manifest(home, verify=False)
    files = {name: entry for name, entry in manifest.files.items() if name != FINDINGS_FILE}
    write_manifest(home, msgspec.structs.replace(manifest, files=files))


def torn(home: Path) -> None:
    (home / FINDINGS_FILE).write_bytes(b"{")


def test_what_was_written_matches(folder: Path) -> None:
    assert check_card(folder).fault == ""
    assert main(["card", "--check", "--models", str(folder.parent)]) == 0


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (edit_card, "is not what findings.json yields"),
        (lambda home: (home / "CARD.md").unlink(), "is not what findings.json yields"),
        (edit_findings, "not in canonical form"),
        (other_weights, "weights_digest differs"),
        (unlisted, "does not list findings.json"),
        (torn, "do not parse"),
        (lambda home: (home / FINDINGS_FILE).unlink(), "missing"),
    ],
)
def test_each_way_not_to_match_is_named(
    folder: Path, harm: Callable[[Path], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(folder)
    assert said in check_card(folder).fault
    assert main(["card", "--models", str(folder.parent)]) == 1
    assert said in capsys.readouterr().out


def test_a_card_is_written_again_from_its_findings(folder: Path) -> None:
    edit_card(folder)
    assert main(["card", "--write", "--models", str(folder)]) == 0
    assert check_card(folder).fault == ""


def test_a_directory_without_findings_has_nothing_to_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unlisted(folder)
    (folder / FINDINGS_FILE).unlink()
    assert main(["card", "--models", str(folder)]) == 0
    assert main(["card", "--write", "--models", str(folder)]) == 0
    assert "nothing to compare" in capsys.readouterr().out


def test_no_models_at_all_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--models", str(tmp_path)]) == 1
    assert "no model directories" in capsys.readouterr().out


def test_a_table_takes_the_place_of_the_one_with_its_title(folder: Path) -> None:
    for figure in ("1.0", "2.0"):
        add_tables(folder, [Table("Methods", "All of them.", ("method", "kept"), (("int4", figure),))])
    found = load_findings(folder)
    assert found is not None
    assert [table.rows for table in found.tables if table.title == "Methods"] == [(("int4", "2.0"),)]
    assert len(found.tables) > 1
    assert "| int4 | 2.0 |" in (folder / CARD_FILE).read_text(encoding="utf-8")
    assert check_card(folder).fault == ""


def test_a_directory_without_findings_gets_no_table(folder: Path) -> None:
    unlisted(folder)
    (folder / FINDINGS_FILE).unlink()
    with pytest.raises(NoFindingsError, match="measure it first"):
        add_tables(folder, [])


def test_new_findings_make_another_version(folder: Path) -> None:
    before, found = load_manifest(folder), load_findings(folder)
    assert found is not None
    store(folder, before, msgspec.structs.replace(found, notes="Measured again."))
    after = load_manifest(folder)
    assert after.id != before.id
    assert check_card(folder).fault == ""
