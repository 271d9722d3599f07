"""Ablation: students differ in their lessons only, at equal tokens and at equal time, and the table says so."""

from __future__ import annotations

import dataclasses
import json

import pytest

from cloud_worker.forge.distill import labels
from cloud_worker.forge.distill.ablation import VARIANTS, Bench, Outcome, Variant, ablate, distinct, table
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training import corpus
from cloud_worker.forge.training.optimise import initialise
from cloud_worker.forge.training.train import Job
from tests.factories.forge import SHAPE, small_recipe, small_tokenizer


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    place = tmp_path_factory.mktemp("ablation")
    small_tokenizer().save(str(place / "tokenizer.json"))
    rows = corpus.build(place / "tokenizer.json", 1, 9_000, 1)
    rows.save(place / "rows.npz")
    for tier, seed in (("cloud", 2), ("larger", 3)):
        teacher = Qwen2(SHAPE)
        initialise(teacher, seed)
        (place / tier).mkdir()
        teacher.save(place / tier)
        labels.save(place / f"labels.{tier}", rows, labels.label(teacher, rows))
    recipe = dataclasses.replace(small_recipe("edge"), step_tokens=1024)
    plain = Job(
        recipe, place / "rows.npz", place, 1, "cpu", False, tokenizer=place / "tokenizer.json", paper_per_cell=1
    )
    return Bench(plain, "cloud", place)


def test_every_variant_trains_and_is_not_trained_twice(bench: Bench) -> None:
    chosen = (VARIANTS[0], Variant("everything", guided=0.2, taught=0.3, on_policy=0.2))
    found = ablate(bench, chosen, 9_000)
    assert [(one.variant, one.budget) for one in found] == [
        ("plain", "equal tokens"), ("everything", "equal tokens"), ("everything", "equal time")
    ]  # fmt: skip
    assert found[0].tokens == pytest.approx(found[1].tokens, rel=0.25)
    assert ablate(bench, chosen, 9_000) == found
    assert bench.student(VARIANTS[0], 6_000, "equal tokens").tokens < 0.8 * found[0].tokens


@pytest.mark.soak
def test_the_chain_is_compared_with_the_largest_teacher_at_equal_tokens_and_time(bench: Bench) -> None:
    chosen = (VARIANTS[0], Variant("soft", taught=0.4), Variant("straight", taught=0.4, teacher="larger"))
    found = ablate(bench, chosen, 9_000)
    assert [(one.variant, one.budget) for one in found[3:]] == [("soft", "equal time"), ("straight", "equal time")]
    logs = {name: bench.job.out / f"{name}-equal-tokens-9000" / "edge.log.json" for name in ("soft", "straight")}
    told = {name: json.loads(log.read_text()) for name, log in logs.items()}
    assert told["straight"]["recipe"]["lessons"]["teacher"] == "larger"
    assert told["soft"]["losses"] != told["straight"]["losses"]


def test_a_variant_that_only_names_its_own_teacher_is_left_out() -> None:
    apart = {one.name for one in distinct(VARIANTS, "edge")} - {one.name for one in distinct(VARIANTS, "cloud")}
    assert apart == {"soft, straight from the cloud"}


def test_only_the_plain_variant_has_no_lessons() -> None:
    assert [one.name for one in VARIANTS if one.lessons("cloud", 1000) is None] == ["plain"]
    assert len({one.name for one in VARIANTS}) == len(VARIANTS)


def test_the_table_compares_with_the_plain_student() -> None:
    rows = [
        Outcome("plain", "equal tokens", 1000, 10.0, (80.0, 60.0, 40.0, 20.0)),
        Outcome("soft", "equal tokens", 1000, 11.0, (90.0, 60.0, 40.0, 20.0)),
    ]
    found = table(rows, {"edge": 5, "cloud": 9}, {"seed": 31})
    assert found.rows[1] == ("soft", "equal tokens", "1,000", "11", "90.0", "60.0", "40.0", "20.0", "52.5", "+2.5")
    assert "seed 31" in found.text and "5 s (edge), 9 s (cloud)" in found.text
