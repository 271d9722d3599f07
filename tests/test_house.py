"""The rules of the house that a machine can check: docstrings, names, lengths, links, targets, no machine named."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES_MAX = 400
LONGER: dict[str, str] = {}
"""Path → why it may be longer than LINES_MAX."""
DOCSTRING_LINES_MAX = 5
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
MACHINE_PATHS = re.compile(r"(?<![\w.~/$}>:])/(?:home|root|work|Users|opt|mnt)/\w")
TEMPORARY_PATHS = re.compile(r"[\"']/tmp/")
INDEX_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|--(?:extra-)?index-url|registry\.npmjs", re.I
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".cfg", ".lua", ".sh", ".json", ""}
GENERATED = {"LICENSE", "tests/test_house.py"}


@functools.cache
def files() -> tuple[str, ...]:
    """Every file that git tracks, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return tuple(name for name in names if (ROOT / name).is_file())


def python_files() -> list[str]:
    return [name for name in files() if name.endswith(".py")]


def text_files() -> list[str]:
    small = (name for name in files() if Path(name).suffix in TEXT and (ROOT / name).stat().st_size < 300_000)
    return [name for name in small if name not in GENERATED]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def docstring_fault(source: str) -> str:
    """What is wrong with a file's opening, or nothing."""
    text = ast.get_docstring(ast.parse(source))
    if not text:
        return "" if not source.strip() else "no docstring"
    written = [line for line in text.splitlines() if line.strip()]
    return "" if len(written) <= DOCSTRING_LINES_MAX else f"docstring over {DOCSTRING_LINES_MAX} lines"


def test_every_python_file_opens_with_a_short_docstring() -> None:
    faults = {name: docstring_fault(read(name)) for name in python_files()}
    assert {name: fault for name, fault in faults.items() if fault} == {}


def test_every_package_says_what_it_is() -> None:
    empty = [name for name in python_files() if name.endswith("__init__.py") and not read(name).strip()]
    assert [name for name in empty if not name.startswith("tests/")] == []


def test_no_file_is_called_by_a_name_that_says_nothing() -> None:
    bad = [name for name in files() if {Path(part).stem for part in Path(name).parts} & FORBIDDEN_NAMES]
    assert bad == []


def test_no_python_file_grew_too_long() -> None:
    lengths = {name: len(read(name).splitlines()) for name in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX and name not in LONGER} == {}


def test_the_exceptions_to_the_length_are_still_needed() -> None:
    assert [name for name in LONGER if len(read(name).splitlines()) <= LINES_MAX] == []


def test_nothing_names_a_path_of_one_machine() -> None:
    found = {name: match.group() for name in text_files() if (match := MACHINE_PATHS.search(read(name)))}
    assert found == {}


def test_no_source_names_the_temporary_folder() -> None:
    assert [name for name in python_files() if name not in GENERATED and TEMPORARY_PATHS.search(read(name))] == []


def test_nothing_names_a_package_index() -> None:
    found = {name: match.group() for name in text_files() if (match := INDEX_HOSTS.search(read(name)))}
    assert found == {}


def links_of(page: str) -> list[str]:
    """Targets of a Markdown page's links, code blocks left out, anchors cut off, addresses skipped."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", read(page), flags=re.S)
    targets = (first or second for first, second in LINK.findall(prose))
    return [path for target in targets if "://" not in target and (path := target.partition("#")[0])]


def test_links_in_pages_lead_somewhere() -> None:
    pages = [name for name in files() if name.endswith(".md")]
    broken = [
        f"{page} → {target}" for page in pages for target in links_of(page)
        if not (ROOT / page).parent.joinpath(target).exists()
    ]  # fmt: skip
    assert broken == []


def test_every_makefile_target_says_what_it_does() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):(.*)$", read("Makefile"), flags=re.M)
    assert len(targets) > 5
    assert [name for name, rest in targets if " ## " not in rest and name != "help" and ":=" not in rest] == []


def test_makefile_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), flags=re.M))
    pages = "\n".join(read(name) for name in files() if name.endswith(".md"))
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", pages, flags=re.M))
    assert named - targets == set()


def test_every_version_is_pinned() -> None:
    lines = [line for line in read("constraints.txt").splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.!]*", line)] == []
    assert "torch==2.13.0" in lines


def test_every_direct_requirement_has_a_pin() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\s;<>=!~\[]", line)[0] for group in groups for line in group}
    pins = {canonical(line.partition("==")[0]) for line in read("constraints.txt").splitlines()}
    assert {name for name in names if canonical(name) not in pins} == {"edgewise"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("x = 1\n", "no docstring"),
        ('"""What lives here."""\n', ""),
        ("", ""),
        ('"""What lives here.\n\n1\n2\n3\n\n4\n"""\n', ""),
        ('"""' + "line\n" * 6 + '"""\n', "docstring over 5 lines"),
    ],
)
def test_the_docstring_check_sees_faults(source: str, fault: str) -> None:
    assert docstring_fault(source) == fault


@pytest.mark.parametrize("text", ["see /home/me/x", "'/work/main'", "cd /opt/thing"])
def test_the_path_check_sees_a_machine(text: str) -> None:
    assert MACHINE_PATHS.search(text)


@pytest.mark.parametrize(
    "text", ["https://example.org/home/x", "<data dir>/work/x", "~/work/x", "a/root/b", "GET /work"]
)
def test_the_path_check_leaves_addresses_alone(text: str) -> None:
    assert not MACHINE_PATHS.search(text)
