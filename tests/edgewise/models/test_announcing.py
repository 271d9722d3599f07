"""Telling the agent: a process that holds its lock hears SIGHUP, and nobody else does, whatever stands in the file."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgewise.models.announcing import LOCK_FILE, Told, announced, tell

LISTENER = """
import signal, sys
from pathlib import Path
from edgewise.models.announcing import announced
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
with announced(Path(sys.argv[1])):
    print("ready", flush=True)
    signal.sigwait({signal.SIGHUP})
    print("heard", flush=True)
"""
READER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.lockf(handle, fcntl.LOCK_SH)
fcntl.flock(handle, fcntl.LOCK_EX)
print("ready", flush=True)
input()
"""


@contextmanager
def running(program: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of `program` that said "ready"; killed at the end, however it goes."""
    command = [sys.executable, "-c", program, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "heard\n"


def test_the_process_that_announced_itself_hears_it(tmp_path: Path) -> None:
    with running(LISTENER, tmp_path / "data") as listener:
        assert tell(tmp_path / "data") == Told(listener.pid, True)
        assert heard(listener)
        listener.wait(timeout=20)
    assert tell(tmp_path / "data") == Told(None, False), "its lock went with it"
    file = tmp_path / "data" / LOCK_FILE
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"", 0o600)


def test_a_number_in_the_file_is_not_told(tmp_path: Path) -> None:
    """It may be another process's by now; SIGHUP would end that."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (tmp_path / LOCK_FILE).write_text(str(bystander.pid))
        assert tell(tmp_path) == Told(None, False)
        with running(LISTENER, tmp_path) as listener:
            assert tell(tmp_path) == Told(listener.pid, True) and heard(listener)
        assert bystander.poll() is None
        bystander.kill()


def test_who_only_reads_the_file_is_not_told(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).touch()
    with running(READER, tmp_path / LOCK_FILE) as reader:
        assert tell(tmp_path) == Told(None, False)
        assert reader.poll() is None


def test_telling_is_in_nobodys_way(tmp_path: Path) -> None:
    """An agent that starts while another process looks, even one that stands still there, takes its lock."""
    (tmp_path / LOCK_FILE).touch()
    handle = os.open(tmp_path / LOCK_FILE, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # what looking once took
        with running(LISTENER, tmp_path) as listener:
            assert tell(tmp_path) == Told(listener.pid, True) and heard(listener)
    finally:
        os.close(handle)


def test_a_folder_that_is_another_users_says_so(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).touch(0o000)
    if os.access(tmp_path / LOCK_FILE, os.R_OK):
        pytest.skip("root sees everything")
    assert tell(tmp_path) == Told(None, False, hidden=True)


def test_nothing_there_is_nobody(tmp_path: Path) -> None:
    assert tell(tmp_path / "nothing") == Told(None, False)
    os.mkfifo(tmp_path / LOCK_FILE)
    assert tell(tmp_path) == Told(None, False)


def test_a_second_one_goes_on_untold(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running(LISTENER, tmp_path) as listener, announced(tmp_path):
            assert tell(tmp_path) == Told(listener.pid, True) and heard(listener)
    finally:
        signal.signal(signal.SIGHUP, before)
