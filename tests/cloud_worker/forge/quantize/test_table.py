"""The table and the ranking on a small model: what a row says, what is refused, canonical JSON, the command."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import accumulate, chain
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cloud_worker.forge.evaluate import Forced
from cloud_worker.forge.evaluate.onnx_rows import OnnxRows
from cloud_worker.forge.export import read_source
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.quantize import command
from cloud_worker.forge.quantize.calibration import CalibrationSetError
from cloud_worker.forge.quantize.divergence import TrialRow, divergence, forced_rows, log_softmax
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.registry import METHODS, method
from cloud_worker.forge.quantize.plots import draw_ranking, draw_table
from cloud_worker.forge.quantize.rows import HEAD, MethodTable, card_tables, markdown, shown
from cloud_worker.forge.quantize.sensitivity import markdown as ranking_markdown
from cloud_worker.forge.quantize.sensitivity import most_sensitive, rank
from cloud_worker.forge.quantize.speed import in_turns
from cloud_worker.forge.quantize.table import run_table, units
from cloud_worker.forge.quantize.trial import Trial, make_trial
from cloud_worker.forge.stepping import open_row
from tests.factories.hub import write_hub_model

NAMES = ("fp32", "int8-block32", "int4-block32", "int4-block128", "int4-tensor")


@pytest.fixture(scope="module")
def trial(float_model: FloatModel) -> Trial:
    """A trial with few rows and exercises."""
    whole = make_trial(read_source(float_model.directory), per_cell=1, rows=6)
    return replace(whole, exercises=whole.exercises[::20])


@pytest.fixture(scope="module")
def table(float_model: FloatModel, trial: Trial) -> tuple[MethodTable, list[tuple[str, int]]]:
    """A finished table, and the progress that it told."""
    steps: list[tuple[str, int]] = []
    methods = [method(name) for name in NAMES]
    source = read_source(float_model.directory)
    found = run_table(source, methods, trial, float_model.graph.parent, lambda name, count: steps.append((name, count)))
    return found, steps


def test_a_card_has_the_methods_that_were_made_and_why_others_were_not(
    table: tuple[MethodTable, list[tuple[str, int]]],
) -> None:
    found, _ = table
    methods, by_grade = card_tables(found)
    made = [row.method for row in found.rows if not row.reason]
    assert [row[0] for row in methods.rows] == [row[0] for row in by_grade.rows] == made
    assert all(len(row) == len(HEAD) for row in methods.rows)
    refused = [row for row in found.rows if row.reason]
    assert refused and all(f"{row.method}: {row.reason}" in methods.text for row in refused)


def test_rows_come_in_order_with_figures_or_a_reason(table: tuple[MethodTable, list[tuple[str, int]]]) -> None:
    found, _ = table
    assert [row.method for row in found.rows] == list(NAMES)
    base, int8, int4, wide, none = found.rows
    assert (base.agreement, base.largest_gap, base.kl) == (1.0, 0.0, 0.0)
    assert int8.bytes and int4.bytes and base.bytes and int4.bytes < int8.bytes < base.bytes
    assert int8.kl and int4.kl and 0 < int8.kl < int4.kl
    assert base.speed_ratio and base.tokens_per_s
    assert "do not divide" in wide.reason
    assert "one int4 scale" in none.reason
    assert wide.bytes is None and none.kl is None


def test_progress_reaches_its_end(table: tuple[MethodTable, list[tuple[str, int]]], trial: Trial) -> None:
    _, steps = table
    assert sum(count for _, count in steps) == len(NAMES) * units(trial)


def test_the_json_is_canonical_and_comes_back(table: tuple[MethodTable, list[tuple[str, int]]]) -> None:
    found, _ = table
    raw = found.canonical()
    assert msgspec.json.decode(raw, type=MethodTable) == found
    keys = list(json.loads(raw)["rows"][0])
    assert keys == sorted(keys)
    assert found.row("int4-tensor") == found.rows[-1]
    assert found.row("nothing") is None


def test_the_markdown_has_a_line_for_each_method(table: tuple[MethodTable, list[tuple[str, int]]]) -> None:
    found, _ = table
    text = markdown(found)
    assert all(f"| {name} |" in text for name in NAMES)
    assert "- int4-tensor: int4-tensor cannot be made" in text
    assert all(len(shown(row)) == len(HEAD) for row in found.rows)


def test_pictures_are_drawn(
    table: tuple[MethodTable, list[tuple[str, int]]], float_model: FloatModel, trial: Trial, tmp_path: Path
) -> None:
    assert draw_table(table[0], tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    ranking = rank(float_model, trial.rows[:2], trial.capacity)
    assert draw_ranking(ranking, tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_every_matrix_is_ranked_once(float_model: FloatModel, trial: Trial) -> None:
    done: list[int] = []
    ranking = rank(float_model, trial.rows[:3], trial.capacity, advance=done.append)
    assert len(ranking.rows) == len({row.node for row in ranking.rows}) == len(done) == 11
    assert [row.kl for row in ranking.rows] == sorted((row.kl for row in ranking.rows), reverse=True)
    assert ranking_markdown(ranking).count("\n") == 12
    assert json.loads(ranking.canonical())["bits"] == 4


def test_all_but_one_ranks_by_what_is_saved(float_model: FloatModel, trial: Trial) -> None:
    alone = rank(float_model, trial.rows[:2], trial.capacity)
    left = rank(float_model, trial.rows[:2], trial.capacity, all_but_one=True)
    assert [row.kl for row in left.rows] == sorted(row.kl for row in left.rows)
    assert min(row.kl for row in left.rows) > alone.rows[-1].kl


def test_the_most_sensitive_matrices_fit_a_budget(float_model: FloatModel, trial: Trial) -> None:
    ranking = rank(float_model, trial.rows[:1], trial.capacity)
    total = sum(row.values for row in ranking.rows)
    for share in (0.0, 0.2, 1.0):
        chosen = most_sensitive(ranking, share)
        assert sum(row.values for row in ranking.rows if row.node in chosen) <= share * total
    assert len(most_sensitive(ranking, 1.0)) == len(ranking.rows)


def test_divergence_is_what_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    wanted, given = rng.normal(size=(3, 7)).astype(np.float32), rng.normal(size=(3, 7)).astype(np.float32)
    row = TrialRow((1, 2, 3, 4), 1)
    found = divergence([row], [wanted], [given])
    p, q = np.exp(log_softmax(wanted)), np.exp(log_softmax(given))
    assert found.kl == pytest.approx(float((p * np.log(p / q)).sum(-1).mean()))
    assert found.perplexity == pytest.approx(float(np.exp(-np.log(q[range(3), [2, 3, 4]]).mean())))
    assert found.agreement == (wanted.argmax(-1) == given.argmax(-1)).mean()
    assert found.largest_gap == pytest.approx(float(np.abs(wanted - given).max()))
    with pytest.raises(ValueError, match="no rows"):
        divergence([], [], [])


def test_a_forced_row_is_what_one_call_over_all_gives(float_model: FloatModel) -> None:
    decoder = open_row(float_model.graph, 64)
    ids = (3, 60, 61, 62, 1)
    (rows,) = forced_rows(decoder, [TrialRow(ids, 2)])
    decoder.rewind(0)
    whole = decoder.forward(ids[:-1])[-1]
    assert np.abs(rows[-1] - whole).max() < 1e-4


def test_an_examinee_says_and_judges_alike(float_model: FloatModel) -> None:
    examinee = OnnxRows(open_row(float_model.graph, 64), end=1)
    (said,) = examinee.complete([[3, 60, 61]], [5])
    (forced,) = examinee.force([[3, 60, 61]], [said.ids])
    assert isinstance(forced, Forced)
    assert forced.best[: len(said.ids)] == said.ids
    assert forced.logprobs[: len(said.ids)] == pytest.approx(said.logprobs[: len(said.ids)], abs=1e-4)
    assert examinee.context_tokens == 64


def test_a_machine_that_slows_down_between_rounds_leaves_the_ratio_as_it_is(float_model: FloatModel) -> None:
    decoder = open_row(float_model.graph, 40)
    spans = [1.0, 1.0, *(seconds for slow in (1.0, 4.0, 8.0) for seconds in (slow, 2 * slow))]
    ticks = iter(accumulate(chain.from_iterable((0.0, span) for span in spans)))
    assert in_turns(decoder, decoder, lambda: next(ticks), rounds=3) == (6.0, 2.0)


def test_a_model_of_another_family_needs_a_calibration_file(float_model: FloatModel, tmp_path: Path) -> None:
    source = read_source(float_model.directory)
    renamed = json.loads((float_model.tokenizer_file).read_text(encoding="utf-8").replace("<|user|>", "<|human|>"))
    (tmp_path / "hub").mkdir()
    directory = write_hub_model(tmp_path / "hub")
    (directory / "tokenizer.json").write_text(json.dumps(renamed), encoding="utf-8")
    template = source.speech.template.replace("<|user|>", "<|human|>").replace("<|' + message['role']", "<|human' + ''")
    (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(CalibrationSetError, match="empty"):
        make_trial(read_source(directory), per_cell=1)
    texts = [
        {"text": f"{number} {text * (30 if number % 8 == 0 else number % 8)}"}
        for text in ("How is the day? ", "今天的天气怎么样？")
        for number in range(1, 49)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(text) for text in texts), encoding="utf-8")
    found = make_trial(read_source(directory), per_cell=1, calibration=tmp_path / "rows.jsonl")
    assert found.exercises == ()
    assert found.rows
    assert {row.ids for row in found.rows}.isdisjoint(row.ids for row in found.calibration.rows)
    assert make_trial(source, per_cell=1, rows=2).exercises


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_ranks_and_writes_files(
    float_model: FloatModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = str(float_model.graph.parent)
    given = parsed("--model", str(float_model.directory), "--rank", "--rows", "4", "--work", work, "--json")
    given.out = tmp_path / "out"
    assert command.run(given) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out" / "sensitivity.json").read_bytes()) == printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"sensitivity.{e}" for e in ("json", "md", "png")}


def test_an_unknown_method_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(CombinationRefusedError, match="no quantization method"):
        command.run(parsed("--model", str(tmp_path), "--methods", "int8-block32,int5"))


def test_an_error_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(parsed("--model", str(tmp_path / "none"))) == 1
    assert "config.json cannot be read" in capsys.readouterr().err


def test_every_method_is_asked_for_by_default() -> None:
    assert command.run.__doc__
    assert parsed("--model", "x").methods == ""
    assert METHODS[0].name == "fp32"


@pytest.mark.parametrize("option", ["--rows", "--per-cell", "--out", "--work"])
def test_an_option_that_nothing_can_be_measured_with(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    value = str(tmp_path / "file") if option in ("--out", "--work") else "0"
    assert command.main(parsed("--model", str(tmp_path), option, value)) == 1
    assert f"{option} cannot be used" in capsys.readouterr().err
