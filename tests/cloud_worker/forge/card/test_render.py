"""The card shows the figures of its findings, and no others."""

from __future__ import annotations

import pytest

from cloud_worker.forge.card import render
from cloud_worker.forge.card.render import family_table, gates_table, grade_table
from edgewise.wire.findings import AgreementFound, CellFound, ParentFound
from tests.factories.findings import cells, findings

SHOWN = (
    "# edgewise-reference-edge\n",
    "| training tokens | 60,057 |",
    "| trained on | CPU, 2 process(es), torch 2.0, 1.5 minutes |",
    "| weight file | 2,636,508 bytes, sha256 aaaaaaaaaaaaaaaa… |",
    "| parent | edge, float, weights dddddddddddddddd… |",
    "A note.",
    "## Quantization\n\nBy method.\n\n| method | bytes |",
    "| 1 | zh | 96.0 (192 of 200, 92.3 to 98.0) | 96.0 (192 of 200, 92.3 to 98.0) |",
    "| en | 1.0101 | 96.0 | 1.0090 | 98.0 |",
    "| cloud | 1 | en | 0.900 | 100 | 2.50 |",
    "| perplexity change | en | < 0.1 | 0.0010 | yes |",
    "100 exercises in each cell",
    "| sort | 96 | 96 | 96 | 96 | 12 |",
    "## Limits",
)


@pytest.mark.parametrize("text", SHOWN)
def test_a_card_tells(text: str) -> None:
    assert text in render(findings())


def test_a_model_from_elsewhere_claims_nothing_of_the_reference_family() -> None:
    text = render(findings(name="my-model", made=None, parent=None, accepted=(), tables=(), notes=""))
    for absent in ("reference family", "training tokens", "## As a draft", "## Gates", "## Limits", "| parent"):
        assert absent not in text


def test_a_model_that_was_not_examined_claims_no_figures() -> None:
    text = render(findings(cells=(), parent=None, accepted=(), agreement=(), examination=""))
    for absent in ("Exact match", "Perplexity", "examin", "## Gates", "By family"):
        assert absent not in text
    assert "## Quantization\n\nBy method." in text
    assert "| runs in | " in text


def test_a_failing_gate_shows_in_the_card() -> None:
    low = findings(agreement=(AgreementFound("en", 1, 2),))
    assert "| agreement with the parent | en | ≥ 0.95 | 0.5000 | no |" in gates_table(low)
    assert "| agreement with the parent | zh | ≥ 0.95 | not measured | no |" in gates_table(low)


def test_a_gate_that_asks_for_nothing_says_so_in_the_card() -> None:
    none = ParentFound(name="p", weights_digest="d" * 64, cells=cells(0))
    said = "| 1.0000 | yes; the parent is never right, so this gate asks for nothing |"
    assert gates_table(findings(cells=cells(0), parent=none)).count(said) == 2


def test_cells_of_different_size_are_told_and_empty_places_stay_empty() -> None:
    table = family_table(
        [CellFound("sum", 1, "en", False, 1, 2, 0, 1, 1), CellFound("sort", 2, "en", False, 3, 3, 50, 1, 1)]
    )
    assert table.startswith("2 to 3 exercises")
    assert "| sum | 50 |  | 0 |" in table
    assert "| sort |  | 100 | 50 |" in table


def test_known_and_held_out_phrasings_stand_side_by_side() -> None:
    pair = [CellFound("sum", 1, "en", held_out, right, 4, 0, 1, 1) for held_out, right in ((False, 4), (True, 1))]
    assert "| 1 | en | 100.0 (4 of 4, 51.0 to 100.0) | 25.0 (1 of 4, 4.6 to 69.9) |" in grade_table(pair)


def test_a_grade_without_held_out_phrasings_stays_empty() -> None:
    assert "(100 of 100" not in grade_table([cell for cell in cells() if not cell.held_out])
    assert grade_table([cell for cell in cells() if not cell.held_out]).endswith("|  |")
