"""`edgewise policy import | export`: what is written, what is told of the rest, and how the commands end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgewise.cli.main import run
from policies import Policy
from policies.library import seed_text
from tests.policies.interchange.foreign_documents import bifrost, deployment, litellm

CEL = "name: p\nrule:\n  match:\n    - {condition: who == 'acme', output: \"'edge'\"}\n    - {output: \"'cloud'\"}\n"
GUIDE = (Path(__file__).parents[3] / "docs" / "policy-language.md").read_text(encoding="utf-8")
FAULTY = CEL.replace("'acme'", "'acme' ||")
WHOLE = {
    "cel-policy": CEL.replace("who", "request.tenant"),
    "bifrost": bifrost({"cel_expression": "model == 'gpt-4o'"}),
    "litellm": litellm([deployment("fast", "openai/gpt-4o-mini")]),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "foreign.yaml"


def ran(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """What a command prints on stdout and on stderr."""
    assert run(["policy", *words]) == code
    return capsys.readouterr()


@pytest.mark.parametrize("source", WHOLE)
def test_what_maps_wholly_is_a_policy_on_stdout(source: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(WHOLE[source], encoding="utf-8")
    out, err = ran(capsys, "import", str(file), "--from", source, "--strict")
    assert Policy.load(out).document.rules and err == ""


def test_what_does_not_map_is_told_on_stderr(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(CEL, encoding="utf-8")
    out, err = ran(capsys, "import", str(file), "--from", "cel-policy")
    assert Policy.load(out).document.default.mode == "cloud"
    assert "4:19" in err and "rule.match[0].condition" in err and "there is no who" in err
    found = json.loads(ran(capsys, "import", str(file), "--from", "cel-policy", "--json")[0])
    assert found["ok"] and found["yaml_text"] == out and len(found["unmapped"]) == 2


def test_a_strict_import_writes_nothing_where_something_is_left_out(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(CEL, encoding="utf-8")
    to = file.with_name("policy.yaml")
    out, err = ran(capsys, "import", str(file), "--from", "cel-policy", "--strict", "-o", str(to), code=1)
    assert out == "" and "there is no who" in err and not to.exists()
    found = ran(capsys, "import", str(file), "--from", "cel-policy", "--strict", "--json", code=1)[0]
    assert json.loads(found)["ok"] is False


def test_names_of_the_source_are_given_a_meaning(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(CEL, encoding="utf-8")
    to = file.with_name("policy.yaml")
    words = ("import", str(file), "--from", "cel-policy", "--name", "who = request.tenant", "--strict")
    assert ran(capsys, *words, "-o", str(to)) == ("", "")
    assert 'request.tenant == "acme"' in to.read_text(encoding="utf-8")


def test_providers_that_are_the_device_are_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(bifrost({"cel_expression": "true"}), encoding="utf-8")
    out, _ = ran(capsys, "import", str(file), "--from", "bifrost", "--edge-provider", "openai")
    assert "mode: edge" in out
    _, err = ran(capsys, "import", str(file), "--from", "cel-policy", "--edge-provider", "openai", code=1)
    assert "names no providers" in err


def test_faults_are_shown_at_their_place_and_end_with_1(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FAULTY, encoding="utf-8")
    to = file.with_name("policy.yaml")
    words = ("import", str(file), "--from", "cel-policy", "-o", str(to))
    _, err = ran(capsys, *words, code=1)
    assert f"{file}:4:35: syntax:" in err and "left out with its condition" in err
    assert Policy.load(to.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", ["", "{}", "name: p", "a: [", "\x00"])
def test_what_is_no_such_document_is_refused(text: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(text, encoding="utf-8")
    for source in WHOLE:
        out, err = ran(capsys, "import", str(file), "--from", source, code=1)
        assert out == "" and f"{file}:1:" in err


@pytest.mark.parametrize("given", ["who", "=request.tenant", "who=request.tenant ==", "who="])
def test_a_name_without_a_meaning_is_refused(given: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(CEL, encoding="utf-8")
    _, err = ran(capsys, "import", str(file), "--from", "cel-policy", "--name", given, code=1)
    assert "gives no name a meaning" in err and "resource.origin=request.tenant" in err


def test_an_export_comes_back_as_the_same_policy(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(seed_text(), encoding="utf-8")
    to = file.with_name("cel.yaml")
    out, err = ran(capsys, "export", str(file), "--to", "cel-policy", "-o", str(to))
    assert out == "" and "tests stand beside a CEL policy" in err
    back, err = ran(capsys, "import", str(to), "--from", "cel-policy", "--strict")
    assert err == "" and [rule.id for rule in Policy.load(back).document.rules][:1] == ["sensitive-no-device"]
    found = json.loads(ran(capsys, "export", str(file), "--to", "cel-policy", "--json")[0])
    assert found["ok"] and found["yaml_text"] == to.read_text(encoding="utf-8")


def test_a_policy_with_faults_is_not_exported(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(seed_text().replace("request.complexity", "request.complexty", 1), encoding="utf-8")
    out, err = ran(capsys, "export", str(file), "--to", "cel-policy", code=1)
    assert out == "" and "did you mean request.complexity?" in err


def test_the_source_is_never_written_over(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(WHOLE["cel-policy"], encoding="utf-8")
    _, err = ran(capsys, "import", str(file), "--from", "cel-policy", "-o", str(file), code=1)
    assert "write over the source" in err and file.read_text(encoding="utf-8") == WHOLE["cel-policy"]
    _, err = ran(capsys, "import", str(file), "--from", "cel-policy", "-o", str(file / "x"), code=1)
    assert "cannot be written" in err


def test_nothing_of_a_document_controls_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "[red]x.yaml"
    file.write_text('name: p\nother: "\\e[2J\\nx"\n' + CEL.partition("\n")[2], encoding="utf-8")
    _, err = ran(capsys, "import", str(file), "--from", "cel-policy")
    assert "\x1b" not in err and "·[2J·x" in err and "[red]x.yaml" in err


def test_a_format_that_nobody_knows_is_wrong_usage(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = ran(capsys, "import", str(file), "--from", "rego", code=2)
    assert "cel-policy" in err and "litellm" in err


# ── the examples of the guide ───────────────────────────────────────────────────────────────────────────────────────


def example(label: str) -> str:
    """The fenced block of the guide with this label."""
    (found,) = re.findall(rf"^```{label}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def options(source: str) -> list[str]:
    """What stands behind the file in the guide's command line for a source."""
    (found,) = re.findall(rf"`edgewise policy import \S+ (--from {source}(?!\|)[^`]*)`", GUIDE)
    return str(found).split()


def cells(table: str) -> list[list[str]]:
    """The rows of a printed table, whatever its width."""
    return [re.split(r" {2,}", line.strip()) for line in table.splitlines() if re.match(r" *(place|\d+:\d+) ", line)]


def test_the_import_of_the_guide(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(example("yaml cel-policy"), encoding="utf-8")
    assert ran(capsys, "import", str(file), *options("cel-policy")) == (example("yaml imported"), "")


@pytest.mark.parametrize(("source", "language"), [("bifrost", "json"), ("litellm", "yaml")])
def test_what_the_guide_says_of_the_rest(
    source: str, language: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(example(f"{language} {source}"), encoding="utf-8")
    out, err = ran(capsys, "import", str(file), *options(source))
    assert Policy.load(out).document.rules
    assert cells(err) == cells(example(f"text {source}"))


def test_the_export_of_the_guide(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(example("yaml small"), encoding="utf-8")
    out, err = ran(capsys, "export", str(file), "--to", "cel-policy")
    assert out == example("yaml exported") and [row[1] for row in cells(err)][1:] == [
        "spec.onError",
        "privacy",
        "spec.params.slowMs",
    ]
