"""A library's module in a process of its own: what it printed, how it ended, and that it never outlives its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cloud_worker.forge import leashed

TALKS = "import sys\nprint(__name__, sys.argv[1:], sys.stdin.read() == '')\nsys.exit(3)\n"
STAYS = "import sys, threading\nout = open(sys.argv[1], 'w')\nout.write('x')\nout.flush()\nthreading.Event().wait()\n"
PARENT = "import os, sys\nfrom cloud_worker.forge import leashed\nleashed.run('stays', sys.argv[1:], os.environ)\n"


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


def test_it_runs_as_if_called_by_name(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    done = leashed.run("talks", ["-i", "a b"], environ(tmp_path))
    assert (done.returncode, done.stdout) == (3, "__main__ ['-i', 'a b'] True\n")


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """The pipe ends when the last process that writes to it is gone."""
    (tmp_path / "stays.py").write_text(STAYS)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen([sys.executable, "-c", PARENT, str(pipe)], env=environ(tmp_path)) as parent,
        pipe.open() as seen,
    ):
        assert seen.read(1) == "x"
        parent.kill()
        assert seen.read() == ""
