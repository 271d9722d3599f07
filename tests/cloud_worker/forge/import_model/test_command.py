"""`edgewise model import` and its how-to, on imports that are finished: what it shows, registers and refuses."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgewise.cli.main import run
from edgewise.cli.model_import import is_refused
from edgewise.generation.tokenizer import ChatTokenizer
from tests.cloud_worker.forge.import_model.conftest import Imported
from tests.edgewise.cli.fake_api import FakeApi, serving
from tests.house import closure

ROOT = Path(__file__).parents[4]
HOWTO = (ROOT / "docs" / "howto" / "import-a-model.md").read_text(encoding="utf-8")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """A control plane that registers everything."""
    with serving() as running:
        running.json("POST", "/admin/v1/models", {"name": "mine", "id": "0" * 64, "gates": "none"})
        monkeypatch.setenv("EDGEWISE_URL", running.url)
        monkeypatch.setenv("EDGEWISE_API_KEY", "ek_op")
        yield running


def words(done: Imported) -> list[str]:
    asked = done.asked
    found = ["model", "import", str(asked.directory), "--name", "mine", "--out", str(asked.out)]
    found += ["--precision", asked.precision, "--answer-tokens", str(asked.answer_tokens)]
    return found + (["--prompts", str(asked.prompts)] if asked.prompts else [])


def test_what_it_shows(imports: dict[str, Imported], capsys: pytest.CaptureFixture[str]) -> None:
    done = imports["qwen2"]
    code = run(words(done))
    shown, errors = capsys.readouterr()
    assert code == (1 if done.report.failing else 0)
    assert done.report.edge.manifest_id[:12] in shown and done.report.cloud.manifest_id[:12] in shown
    assert done.report.cloud_fault in shown
    assert all(gate in shown for gate, _ in done.report.gates)
    assert all(gate in errors for gate in done.report.failing[:1])


def test_json_for_programs(imports: dict[str, Imported], api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words(imports["llama"]), "--json", "--register"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cloud"]["manifest_id"] == imports["llama"].report.cloud.manifest_id
    assert found["judged"] is False and found["method"].startswith("int8")


def test_the_cloud_version_is_registered_first(imports: dict[str, Imported], api: FakeApi) -> None:
    done = imports["qwen2"]
    assert run([*words(done), "--register", "--override", "a trial"]) == 0
    sent = [asked.json for asked in api.asked]
    assert [each["expected_id"] for each in sent] == [done.report.cloud.manifest_id, done.report.edge.manifest_id]
    assert sent[1]["manifest"]["parent"] == sent[0]["expected_id"]
    assert all(each["override"] == "a trial" and each["card"].startswith("# mine-") for each in sent)


def test_no_prompt_is_written_anywhere(imports: dict[str, Imported]) -> None:
    done = imports["qwen2"]
    assert done.asked.prompts is not None
    written = b"".join(path.read_bytes() for path in done.asked.out.rglob("*") if path.is_file())
    for line in done.asked.prompts.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["prompt"].encode() not in written


def test_the_how_to(
    imports: dict[str, Imported],
    api: FakeApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = imports["qwen3"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-model").symlink_to(done.asked.directory)
    shutil.copytree(done.asked.out, tmp_path / "imported" / "mine")
    (tmp_path / "prompts.jsonl").write_text(re.findall(r"```json\n(.*?)```", HOWTO, re.DOTALL)[0], encoding="utf-8")
    plain, judged, registered = (block.strip() for block in re.findall(r"```sh\n(.*?)```", HOWTO, re.DOTALL))
    assert run(shlex.split(plain)[1:]) == 0
    assert run(shlex.split(judged)[1:]) in (0, 1)
    assert "perplexity change (zh)" in capsys.readouterr().out
    assert run(shlex.split(registered)[1:]) == 0
    assert len(api.asked) == 2
    assert ChatTokenizer.load(tmp_path / "imported" / "mine" / "edge")


def test_registering_without_a_key_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEWISE_API_KEY", raising=False)
    assert run(["model", "import", "nowhere", "--register"]) == 1
    assert "There is no operator key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("registered", "override", "refused"),
    [(False, None, True), (False, "why", True), (True, "", True), (True, "why", False)],
)
def test_a_reason_counts_only_where_it_is_written_down(
    imports: dict[str, Imported], registered: bool, override: str | None, refused: bool
) -> None:
    report = msgspec.structs.replace(imports["llama"].report, gates=(("a gate", False),))
    assert is_refused(report, registered, override) is refused
    assert not is_refused(imports["llama"].report, registered, override)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["nowhere"], "config.json cannot be read"),
        (["nowhere", "--name", "my model"], "cannot be called"),
        (["nowhere", "--prompts", "none.jsonl"], "prompts cannot be read"),
    ],
)
def test_bad_input_is_told_in_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["model", "import", *more]) == 1
    shown = capsys.readouterr().err
    assert "Error: " in shown and said in shown and "Traceback" not in shown


def test_without_the_extra_it_says_what_to_install() -> None:
    refused = sorted(closure.refused_modules("control"))
    code = "import sys; sys.modules['torch'] = None; from edgewise.cli.main import run; sys.exit(run(sys.argv[3:]))"
    hook = closure._HOOK.replace("__import__(sys.argv[2])", code)
    command = [sys.executable, "-c", hook, json.dumps(refused), "-", "model", "import", "nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "pip install 'edgewise[forge]'" in done.stderr, done.stderr[-800:]
