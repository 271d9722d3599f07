"""The shipped cards are what their findings yield, and the findings are of the shipped weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.forge.card import check_card, model_directories

HOME = Path(__file__).parents[2] / "reference_models"


@pytest.mark.parametrize("folder", model_directories(HOME), ids=lambda folder: folder.name)
def test_a_shipped_card_is_what_its_findings_yield(folder: Path) -> None:
    assert check_card(folder).fault == ""
