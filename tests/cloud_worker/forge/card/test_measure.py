"""One sitting of several models: marks become cells, drafts are compared with the cloud, children with their parent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_worker.forge.card import Candidate, Examination, Parent, Sitting, making
from cloud_worker.forge.card.collect import cells_found, examination_digest
from cloud_worker.forge.curriculum import Exercise, FinalNumber, Language
from cloud_worker.forge.evaluate import Decoder, Mark
from edgewise.wire.gates import gates_of
from tests.cloud_worker.forge.evaluate.scripted import knowing, silent
from tests.factories.forge import small_tokenizer


def sums(language: Language, held_out: bool) -> list[Exercise]:
    """Three exercises of one cell."""
    return [Exercise("sum", 1, language, f"{a} + 1?", str(a + 1), FinalNumber(a + 1), held_out) for a in range(3)]


EXERCISES = [one for held in (False, True) for language in Language for one in sums(language, held)]
SITTING = Examination(small_tokenizer(), EXERCISES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model.onnx", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def candidate(folder: Path, tier: str, decoder: Decoder, **more: Any) -> Candidate:
    return Candidate(f"m-{tier}", tier, folder, "model.onnx", "a script", decoder, **more)


def test_a_family_is_measured_in_one_sitting(folder: Path) -> None:
    parent = Parent("edge, float", silent(), "d" * 64)
    two = [candidate(folder, "edge", silent(), parent=parent), candidate(folder, "cloud", knowing(EXERCISES))]
    done: list[int] = []
    sitting = Sitting(SITTING, two, done.append)
    found = sitting.run()
    assert sum(done) == sitting.total == 3 * len(EXERCISES)
    edge, cloud = found["edge"], found["cloud"]
    assert [(c.language, c.held_out, c.right, c.total) for c in cloud.cells] == [
        ("en", False, 3, 3), ("zh", False, 3, 3), ("en", True, 3, 3), ("zh", True, 3, 3)
    ]  # fmt: skip
    assert (cloud.accepted, cloud.parent, cloud.agreement) == ((), None, ())
    assert {(a.target, a.grade, a.language, a.positions) for a in edge.accepted} == {
        ("cloud", 1, "en", 12), ("cloud", 1, "zh", 12)
    }  # fmt: skip
    assert [(a.language, a.same, a.positions) for a in edge.agreement] == [("en", 6, 6), ("zh", 6, 6)]
    assert edge.parent is not None
    assert edge.examination == cloud.examination == examination_digest(EXERCISES)


def test_a_child_that_is_its_parent_passes_but_for_what_neither_can(folder: Path) -> None:
    parent = Parent("float", knowing(EXERCISES), "d" * 64)
    (found,) = Sitting(SITTING, [candidate(folder, "edge", knowing(EXERCISES), parent=parent)]).run().values()
    assert all(gate.holds for gate in gates_of(found))


def test_the_digest_tells_examinations_apart() -> None:
    assert examination_digest(EXERCISES) == examination_digest(list(EXERCISES))
    assert examination_digest(EXERCISES) != examination_digest(EXERCISES[:-1])


def test_cells_hold_likelihoods_and_chance() -> None:
    marks = [Mark(one, "", place == 0, answer_logprob=-0.5, answer_tokens=2) for place, one in enumerate(EXERCISES[:3])]
    (cell,) = cells_found(marks)
    assert (cell.right, cell.total, cell.chance, cell.answer_tokens, cell.answer_nll) == (1, 3, 33.3, 6, 1.5)


def test_how_a_model_was_made_comes_from_its_log(tmp_path: Path) -> None:
    config = {
        "num_hidden_layers": 3,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
    }
    log = {"seed": 7, "steps": 9, "tokens": 60_057, "ranks": 2, "seconds": 90.0, "device": "CPU", "torch": "2.0"}
    path = tmp_path / "edge.log.json"
    path.write_text(json.dumps(log | {"recipe": {"config": config}}))
    found = making(path, "cpu", 1000, taught_by="the cloud model")
    assert found.shape == "3 layers, width 128, MLP 384, 2 heads, 1 key-value heads"
    assert (found.steps, found.tokens, found.context_tokens, found.taught_by) == (9, 60_057, 1024, "the cloud model")
