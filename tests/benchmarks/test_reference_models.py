"""Rows of the reference models' benchmark from made-up marks: floors hold and fail where they must."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import reference_comparisons as compare
from benchmarks import reference_models as bench
from benchmarks import reference_rows as single
from benchmarks.reference_items import CALIBRATION, TEST, Effort, Sheets, exercises, parts
from benchmarks.reference_plots import draw
from benchmarks.reference_recorded import recorded_rows, weight_bits
from benchmarks.report import Report, Row
from cloud_worker.forge.curriculum import Exact, Exercise, Language
from cloud_worker.forge.evaluate import Mark
from cloud_worker.forge.evaluate.acceptance import Accepted
from edgewise.wire.findings import FINDINGS_FILE
from edgewise.wire.manifest import build_manifest, write_manifest
from tests.factories.findings import findings

HOME = Path(__file__).parents[2] / "reference_models"
PER_CELL = 50


def exam() -> list[Exercise]:
    """Two families, four grades, both languages, known and held-out: PER_CELL of each."""
    return [
        Exercise(family, grade, language, f"{family} {place}", "x", Exact("x"), held_out)
        for held_out in (False, True)
        for family in ("sum", "sort")
        for grade in (1, 2, 3, 4)
        for language in Language
        for place in range(PER_CELL)
    ]


EXAM = exam()


def sheet(share: Callable[[Exercise], float], sure: float = -0.1) -> list[Mark]:
    """Marks with the first `share(exercise)` of each cell right; what is right is said more surely."""
    found = []
    for place, exercise in enumerate(EXAM):
        right = place % PER_CELL < round(share(exercise) * PER_CELL)
        least = sure if right else 10 * sure
        found.append(Mark(exercise, "x" if right else "", right, (7,) if right else (8,), 2, least, least, -0.2, 2))
    return found


def edge_share(exercise: Exercise) -> float:
    return {1: 0.98, 2: 0.9, 3: 0.6, 4: 0.4}[exercise.grade] - (0.1 if exercise.held_out else 0)


def cloud_share(exercise: Exercise) -> float:
    return {1: 1.0, 2: 0.96, 3: 0.9, 4: 0.8}[exercise.grade] - (0.1 if exercise.held_out else 0)


EDGE, CLOUD = sheet(edge_share), sheet(cloud_share)


def all_rows(edge: list[Mark], cloud: list[Mark], accepted: float = 0.9) -> list[Row]:
    """Every row of two such models and no draft model."""
    known = [mark for mark in edge if not mark.exercise.held_out]
    sheets = Sheets(
        {("edge", TEST): edge, ("cloud", TEST): cloud, ("edge", CALIBRATION): known, ("cloud", CALIBRATION): known}
    )
    sheets.accepted["edge"] = [Accepted((place % 100 < 100 * accepted, True)) for place in range(len(EXAM))]
    return list(bench.rows_of(HOME, sheets, {"draft": "there is none"}))


def verdicts(rows: list[Row], metric: str) -> dict[str, bool | None]:
    return {each.condition: each.holds for each in rows if each.metric == metric and each.floor}


ROWS = all_rows(EDGE, CLOUD)


def test_grade_one_carries_a_floor_for_both_models_in_both_languages() -> None:
    found = verdicts(ROWS, "exact match")
    wanted = {f"{tier}, grade 1, {tag}, known phrasings" for tier in ("edge", "cloud") for tag in ("en", "zh")}
    assert {condition for condition, holds in found.items() if holds} == wanted
    weak = verdicts(all_rows(sheet(lambda e: 0.94), CLOUD), "exact match")
    assert not any(holds for condition, holds in weak.items() if condition.startswith("edge"))


def test_the_gap_and_its_interval() -> None:
    assert verdicts(ROWS, "cloud minus edge") == {"grades 3-4, en": True, "grades 3-4, zh": True}
    (lead,) = [each for each in ROWS if (each.metric, each.condition) == ("cloud minus edge", "grades 3-4, en")]
    ends = [each.ours for each in ROWS if each.metric == "interval" and "grades 3-4, en" in each.condition]
    assert lead.ours == pytest.approx(35)
    assert ends[0] < lead.ours < ends[1]
    assert not any(verdicts(all_rows(CLOUD, CLOUD), "cloud minus edge").values())


def test_a_family_where_the_edge_leads_does_not_hold() -> None:
    assert verdicts(ROWS, "edge minus cloud") == {"sum": True, "sort": True}
    odd = sheet(lambda e: 1.0 if e.family == "sort" else edge_share(e))
    assert verdicts(all_rows(odd, CLOUD), "edge minus cloud") == {"sum": True, "sort": False}


def test_held_out_phrasings_may_cost_fifteen_points() -> None:
    assert all(verdicts(ROWS, "known minus held-out phrasings").values())
    steep = sheet(lambda e: edge_share(e) - (0.1 if e.held_out else 0))
    assert not verdicts(all_rows(steep, CLOUD), "known minus held-out phrasings")["edge, en"]


def test_acceptance_is_judged_over_all_grades_of_known_phrasings() -> None:
    assert verdicts(ROWS, "draft acceptance")["edge to cloud, all grades, known phrasings"]
    low = verdicts(all_rows(EDGE, CLOUD, accepted=0.5), "draft acceptance")
    assert not low["edge to cloud, all grades, known phrasings"]


def test_what_is_missing_is_a_row_that_does_not_hold_and_says_why() -> None:
    (gone,) = [each for each in ROWS if each.metric == "exact match" and each.condition == "draft"]
    assert (gone.holds, gone.reason) == (False, "there is none")
    assert math.isnan(gone.ours)
    assert verdicts(ROWS, "draft acceptance")["draft to cloud, all grades, known phrasings"] is False


def test_a_group_that_was_not_examined_does_not_hold() -> None:
    english = [mark for mark in EDGE if mark.exercise.language is Language.ENGLISH]
    assert verdicts(list(single.exact_match("edge", english, graded=True)), "exact match") == {
        "edge, grade 1, en, known phrasings": True,
        "edge, grade 1, zh, known phrasings": False,
    }
    unseen = [mark for mark in EDGE if mark.exercise.held_out]
    rows = list(bench.rows_of(HOME, Sheets({("edge", TEST): unseen, ("cloud", TEST): unseen}), {}))
    assert verdicts(rows, compare.ORACLE) == {"known phrasings": False}


def test_the_oracle_condition_takes_the_better_of_two() -> None:
    (name,) = {each.metric for each in ROWS if each.metric.startswith("oracle condition")}
    assert verdicts(ROWS, name) == {"known phrasings": True}
    equal = [each for each in ROWS if each.metric == "only the edge right" and "known" in each.condition]
    assert equal[0].ours == 0


def test_confidence_ranks_what_is_right_first() -> None:
    found = [each.ours for each in ROWS if each.metric == "AUROC: edge right"]
    assert found == [1.0] * 4


def test_where_nothing_was_said_nothing_is_sure() -> None:
    unfit = [Mark(EXAM[0], "", False), *EDGE[1:]]
    found = {each.condition: each.ours for each in compare.confidence(unfit, unfit, "known") if "right" in each.metric}
    assert set(found.values()) == {1.0}
    kept = [each for each in compare.cascades(unfit, unfit, (unfit, unfit), "known") if "share" in each.metric]
    assert kept[0].ours == 100


def test_the_cascade_ends_at_the_two_models_and_its_threshold_comes_from_elsewhere() -> None:
    curve = [each.ours for each in ROWS if each.metric == "cascade accuracy" and ", known" in each.condition]
    only = {each.metric: each.ours for each in ROWS if each.condition == "known phrasings"}
    assert len(curve) == 11
    assert (curve[0], curve[-1]) == pytest.approx((only["cloud only"], only["edge only"]))
    assert [each for each in ROWS if each.metric == "cascade: accuracy" and "calibration" in each.condition]


def test_few_items_never_hold_a_floor() -> None:
    few = [mark for mark in EDGE if mark.exercise.question.endswith(" 0")]
    rows = list(single.exact_match("edge", few, graded=True))
    (judged, _) = [each for each in rows if each.floor]
    assert judged.holds is False
    assert "2 exercises; a floor is judged on 100 or more" in judged.reason
    views = [Accepted((True,) * 9)] * len(few)
    others = [*compare.drafting("edge", few, views, "known", floors=True), *compare.quantized("edge", 4, few, few)]
    assert [each.holds for each in others if each.floor] == [False, False]


def test_quantization_is_judged_at_four_bits_only() -> None:
    weak = sheet(lambda e: 0.9 * edge_share(e))
    for bits, holds in ((4, False), (8, None)):
        assert next(iter(compare.quantized("edge", bits, weak, EDGE))).holds is holds
    assert next(iter(compare.quantized("edge", 4, EDGE, EDGE))).holds is True


def test_quantization_may_be_read_from_the_findings(tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes(name.encode())
    manifest = build_manifest(
        tmp_path, name="m", tier="edge", format="onnx", weights="model.onnx", context_tokens=64, eos_ids=(1,)
    )
    write_manifest(tmp_path, manifest)
    assert list(recorded_rows(tmp_path, "edge", 4)) == []
    (tmp_path / FINDINGS_FILE).write_bytes(findings(weights_digest=manifest.weights_digest).canonical())
    match, perplexity = recorded_rows(tmp_path, "edge", 4)
    assert (match.ours, match.peer_value, match.holds) == (96, 98, True)
    assert "recorded in findings.json" in perplexity.peer
    (tmp_path / FINDINGS_FILE).write_bytes(findings(weights_digest="0" * 64).canonical())
    assert list(recorded_rows(tmp_path, "edge", 4)) == []


def test_bits_are_read_from_the_graph() -> None:
    assert weight_bits(HOME / "cloud") is None
    assert weight_bits(HOME / "edge") in (4, 8)


def test_models_that_are_not_there_are_named(tmp_path: Path) -> None:
    found, faults = bench.shipped(tmp_path)
    assert found == {}
    assert set(faults) == {"edge", "cloud", "draft"}
    assert bench.main(["--models", str(tmp_path)]) == 1


def test_parts_hold_every_place_once() -> None:
    effort = Effort(1, 0)
    for split in (TEST, CALIBRATION):
        places = [place for part in parts(HOME, "edge", effort, split, 50) for place in part.places]
        assert sorted(places) == list(range(len(exercises(effort, split))))


def test_the_calibration_items_are_not_the_test_items() -> None:
    tests, others = (
        {exercise.turns() for exercise in exercises(Effort(2, 0), split) if exercise.family == "sum"}
        for split in (TEST, CALIBRATION)
    )
    assert len(tests & others) < len(others)


def test_marks_tables_and_pictures(tmp_path: Path) -> None:
    report = Report("reference_models", "here", ROWS)
    bench.write_marks(tmp_path / "marks.jsonl", Sheets({("edge", TEST): EDGE[:3]}))
    lines = [json.loads(line) for line in (tmp_path / "marks.jsonl").read_text().splitlines()]
    assert [(line["model"], line["place"], line["right"]) for line in lines] == [("edge", n, True) for n in range(3)]
    brief = Report("reference_models", "here", bench.without_details(ROWS))
    assert len(brief.rows) < len(ROWS)
    assert "| cloud minus edge | grades 3-4, en | 35 points |" in bench.markdown(brief)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in draw(tmp_path / "plots", report))
