"""Biased calibration data is refused before the work, with the missing parts named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_worker.forge.quantize.calibration import CalibrationRow, CalibrationSet, CalibrationSetError
from cloud_worker.forge.quantize.calibration_rows import drawn_rows, mix, read_rows
from cloud_worker.forge.quantize.composition import check_composition, composition, length_class
from tests.factories.forge import small_tokenizer

TOKENIZER = small_tokenizer()
MIX = mix(TOKENIZER)
DRAWN = drawn_rows(TOKENIZER)


def fault(rows: CalibrationSet) -> str:
    with pytest.raises(CalibrationSetError) as caught:
        check_composition(rows, MIX)
    return caught.value.message


def test_rows_of_the_curriculum_fit() -> None:
    found = check_composition(DRAWN, MIX)
    assert found.rows >= 128
    assert set(found.shares["family"]) == {row.family for row in DRAWN.rows}
    assert drawn_rows(TOKENIZER) == DRAWN


def test_an_empty_set_is_refused() -> None:
    assert fault(CalibrationSet(())) == "The calibration set cannot be used: it is empty"


def test_a_small_set_is_refused() -> None:
    assert "at least 64 and 2000 are needed" in fault(CalibrationSet(DRAWN.rows[:20]))


@pytest.mark.parametrize(("kept", "missing"), [("en", "zh"), ("zh", "en")])
def test_one_language_is_refused(kept: str, missing: str) -> None:
    said = fault(CalibrationSet.of([row for row in DRAWN.rows if row.language == kept] * 2))
    assert f"language {missing} missing" in said


def test_a_trace_of_the_other_language_does_not_help() -> None:
    english = [row for row in DRAWN.rows if row.language == "en"] * 3
    chinese = next(row for row in DRAWN.rows if row.language == "zh")
    assert "one-sided: language en" in fault(CalibrationSet.of([*english, chinese]))


def test_one_family_is_refused_and_the_others_named() -> None:
    said = fault(CalibrationSet.of([replace(row, family="sum") for row in DRAWN.rows]))
    assert "one-sided: family sum is 100% of it" in said
    assert "sort" in said
    assert "greeting" in said


def test_missing_grades_and_lengths_are_named() -> None:
    easy = CalibrationSet.of([row for row in DRAWN.rows if row.grade == 1] * 4)
    assert "grade 2, 3, 4 missing" in fault(easy)
    short = CalibrationSet.of([row for row in DRAWN.rows if len(row.ids) <= 64] * 2)
    assert "length 65 to 256 tokens" in fault(short)


def test_parts_that_a_set_is_silent_about_are_not_compared() -> None:
    bare = CalibrationSet.of([CalibrationRow(row.ids, row.language) for row in DRAWN.rows])
    assert composition(bare).shares["family"] == {}
    check_composition(bare, MIX)


@pytest.mark.parametrize(
    ("tokens", "name"), [(1, "up to 64 tokens"), (64, "up to 64 tokens"), (65, "65 to 256 tokens")]
)
def test_lengths_fall_into_classes(tokens: int, name: str) -> None:
    assert length_class(tokens) == name


def test_a_file_of_texts_is_read_and_its_language_estimated(tmp_path: Path) -> None:
    lines = [{"text": "What is the capital of France?"}, {"text": "今天的天气怎么样？", "family": "chat", "grade": 2}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n", encoding="utf-8")
    first, second = read_rows(path, TOKENIZER).rows
    assert (first.language, second.language, second.family, second.grade) == ("en", "zh", "chat", 2)
    assert first.ids


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "line 1 is no JSON"),
        (b'{"text": "a"}\n[]', 'line 2 has no "text"'),
        (b'{"text": " "}', 'no "text"'),
        (b'{"text": "a", "grade": "x"}', "grade is a whole number"),
        (b'{"text": "a", "language": 3}', "are words"),
        (b"\xff\xfe", "utf-8"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(raw)
    with pytest.raises(CalibrationSetError, match=said):
        read_rows(path, TOKENIZER)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationSetError, match="No such file"):
        read_rows(tmp_path / "none.jsonl", TOKENIZER)
