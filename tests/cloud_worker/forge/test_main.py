"""The command line: what each flag sets in the run, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.forge.__main__ import asked, parser


def test_the_defaults_are_the_committed_pair_on_a_cpu() -> None:
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
