"""`edgewise plan`: the how-to's commands as they stand, JSON for programs, and sentences for bad input."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.cli.main import run
from tests.house import closure

ROOT = Path(__file__).parents[3]
HOWTO = (ROOT / "docs" / "howto" / "plan.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ (.+?)\n(.*?)```", HOWTO, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", HOWTO, re.DOTALL)


def squeezed(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_the_how_to_shows_what_is_printed(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(command)[1:]) == 0
    assert squeezed(capsys.readouterr().out) == squeezed(output)


@pytest.mark.parametrize("block", SHELL)
def test_the_other_commands_of_the_how_to(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference_models").symlink_to(ROOT / "reference_models")
    for line in block.splitlines():
        if line.startswith("echo"):
            subprocess.run(line, shell=True, check=True)
        else:
            assert run(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_every_plan_is_in_the_how_to() -> None:
    assert {command.split()[2] for command, _ in SHOWN} == {"kv", "quant", "mixed", "latency", "phone"}


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_json_for_programs(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*shlex.split(command)[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("kv", "too little to plan with"),
        ("kv --model nowhere", "config.json cannot be read"),
        ("kv --layers 1 --kv-heads 0 --head-dim 1", "kv_heads"),
        ("kv --layers 1 --kv-heads 1 --head-dim 1 --budget-gib nan", "--budget-gib"),
        ("quant --low 1 --high 0", "empty"),
        ("mixed --budget-mb 5", "too little to plan with"),
        ("mixed --budget-mb 5 --parameters 1e6 --layers 2 --sensitivity nowhere.json", "cannot be read"),
        ("mixed --budget-mb inf --parameters 1e6 --layers 2", "--budget-mb"),
        ("latency --queue -5", "queue"),
        ("phone --parameters 1e9 --precision int3", "int4"),
        ("phone --parameters nan", "--parameters"),
        ("phone --parameters 1e9 --kv-element int3", "kv element"),
        ("phone --parameters 1e9 --ends int9", "--ends"),
    ],
)
def test_bad_input_is_told_in_sentences(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *words.split()]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Error: ") and said in shown and "Traceback" not in shown


def test_the_base_install_is_enough() -> None:
    refused = sorted(closure.refused_modules("edge") | {"onnxruntime", "psutil", "uvicorn"})
    command = [sys.executable, "-c", closure._HOOK, json.dumps(refused), "tests.edgewise.cli.plan_alone"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
