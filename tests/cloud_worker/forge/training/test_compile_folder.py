"""Folders of compiled code: those of the dead are swept, those in use and those of others are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cloud_worker.forge.training.compile_folder import LOCK, PREFIX, abandoned

KILLED = """
import os, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
from cloud_worker.forge.training.compile_folder import own_folder
held = own_folder()
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print(os.environ["TORCHINDUCTOR_CACHE_DIR"])
"""


def process(place: Path, fate: str) -> str:
    done = subprocess.run([sys.executable, "-c", KILLED, str(place), fate], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_a_killed_process_leaves_a_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    process(tmp_path, "killed")
    (left,) = tmp_path.iterdir()
    assert list(abandoned(tmp_path)) == [left]
    assert process(tmp_path, "lives").startswith(f"{tmp_path}/{PREFIX}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    from fcntl import LOCK_EX, flock

    (tmp_path / f"{PREFIX}old").mkdir()
    used = tmp_path / f"{PREFIX}used"
    used.mkdir()
    with (used / LOCK).open("w") as held:
        flock(held, LOCK_EX)
        assert list(abandoned(tmp_path)) == []
    assert list(abandoned(tmp_path)) == [used]
