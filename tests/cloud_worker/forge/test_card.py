"""The card shows the figures it was given, and no others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from cloud_worker.forge.card import Findings, family_table, grade_table, quantization_note, write_card
from cloud_worker.forge.curriculum import FAMILIES, examination
from cloud_worker.forge.evaluate import Agreement, Mark
from tests.factories.forge import small_recipe


def marks(right: bool) -> list[Mark]:
    return [Mark(exercise, "", right) for exercise in examination(1, 2, False)]


def test_the_family_table_has_a_row_for_each_family() -> None:
    table = family_table(marks(True))
    assert all(f"| {family.name} | " in table for family in FAMILIES)
    assert "| greeting | 100 | 100 |  |" in table
    assert table.startswith("2 exercises in each cell")


def test_the_grade_table_sets_known_beside_held_out() -> None:
    table = grade_table(Findings(marks(True), marks(False)))
    assert "| 4 | zh | 100.0 (12) | 0.0 (12) |" in table


def test_the_export_paragraph_names_what_ships() -> None:
    note = quantization_note({"int8": (1234567, Agreement(100, 0.99, 0.5))}, "int8")
    assert "| int8 | 1,234,567 | 0.9900 | 0.500 | 100 |" in note
    assert "Shipped: int8." in note


def test_a_card_tells_how_the_weights_were_made(tmp_path: Path) -> None:
    log = {"seed": 7, "steps": 9, "tokens": 60_057, "ranks": 2, "seconds": 90.0, "device": "CPU", "torch": "2.0"}
    log_file, weights = tmp_path / "edge.log.json", tmp_path / "model.onnx"
    log_file.write_text(json.dumps(log | {"recipe": dataclasses.asdict(small_recipe("edge"))}))
    weights.write_bytes(b"12345")
    text = write_card(tmp_path, "edge", "cpu", log_file, 1000, weights, Findings(marks(True), marks(True)), "A note.")
    card = text.read_text(encoding="utf-8")
    for shown in ("60,057", "CPU, 2 process(es), torch 2.0, 1.5 minutes", "5 bytes", "1 layers, width 64", "A note."):
        assert shown in card
