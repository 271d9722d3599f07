"""The README's examples, run as they stand in a folder of their own beside a running stack."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stack import Stack

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def home(stack: Stack) -> Path:
    """A folder whose .edgewise is that of a running stack, as after `make up`."""
    return stack.data_dir.parent


def run(command: str, folder: Path) -> str:
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def console(*wanted: str) -> list[str]:
    """The README's `$` lines that begin with one of the wanted words."""
    lines = re.findall(r"^\$ (.+)$", README, re.M)
    return [line for line in lines if line.startswith(wanted)]


@pytest.mark.parametrize("command", console("edgewise ask", "edgewise status"))
def test_ask_and_status(home: Path, command: str) -> None:
    assert run(command, home)


def test_the_python_example(home: Path) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", README, re.S)
    (home / "example.py").write_text(code, encoding="utf-8")
    assert run(f"{sys.executable} example.py", home).strip()


RESUME = (ROOT / "docs/howto/resume-an-answer.md").read_text(encoding="utf-8")


def test_the_ways_to_resume_an_answer(home: Path) -> None:
    (walk,) = re.findall(r"```sh\n(.+?)```", RESUME, re.S)
    assert run(walk, home).count("data: [DONE]") == 4
    by_key, by_socket = re.findall(r"```python\n(.+?)```", RESUME, re.S)
    (home / "by_key.py").write_text(by_key, encoding="utf-8")
    assert run(f"{sys.executable} by_key.py", home).startswith("True ")
    (home / "by_socket.py").write_text(by_socket, encoding="utf-8")
    assert run(f"{sys.executable} by_socket.py", home).strip()


@pytest.mark.usefixtures("policy_comes_back")
def test_the_policy_walk(home: Path) -> None:
    commands = [line.partition("#")[0].strip() for line in console("edgewise policy")]
    assert len(commands) == 6
    for command in commands[:5]:
        run(command, home)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
