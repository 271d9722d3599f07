"""The command line: what each flag sets in the run, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.forge.__main__ import DIED, REFUSED, STOPPED, asked, main, make, parser, politely
from cloud_worker.forge.training.launch import RankDiedError
from tests.factories.forge import small_run


def test_the_defaults_are_the_committed_models_on_a_cpu() -> None:
    run = asked(parser().parse_args(["reference-models"]))
    assert (run.recipe.name, run.device, run.scale, run.compile) == ("cpu", "cpu", 1.0, True)
    assert (run.out, run.work) == (Path("reference_models"), Path("build/forge-cpu"))
    assert run.label == "cpu"


def test_flags_reach_the_run(tmp_path: Path) -> None:
    flags = ["--recipe", "gpu", "--device", "cuda", "--out", str(tmp_path), "--steps-scale", "0.5", "--per-cell", "3"]
    run = asked(parser().parse_args(["reference-models", *flags, "--no-compile"]))
    assert (run.recipe.name, run.device, run.out, run.per_cell, run.compile) == ("gpu", "cuda", tmp_path, 3, False)
    assert run.work == Path("build/forge-gpu")
    assert run.label == "gpu, steps scaled by 0.5"


@pytest.mark.parametrize("flags", ["", "reference-models --recipe tpu", "reference-models --stage x"])
def test_what_it_does_not_know_is_refused(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(flags.split())
    assert "usage:" in capsys.readouterr().err


def test_a_run_that_cannot_succeed_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small_run(tmp_path)
    run.tokenizer_file.write_bytes(b"{}")
    assert make(run, "all") == REFUSED
    said = capsys.readouterr().err
    assert said.startswith("TokenizerFileError: ") and said.count("\n") == 1


def test_an_ablation_without_a_teacher_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "--work", str(tmp_path)]) == REFUSED
    assert "train it first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(KeyboardInterrupt(), STOPPED, "give the same command"), (RankDiedError("rank 1 of 2 ended"), DIED, "rank 1")],
)
def test_an_end_before_the_end_is_one_line(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert politely(work) == status
    assert said in capsys.readouterr().err
