"""The shell with tiny real processes: restart, order of stopping, giving up, and nobody left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise.local.events import StackEvent
from edgewise.local.shell import ChildFailedError, ChildSpec, Shell, last_lines
from edgewise.local.supervisor import CONFIG_EXIT_CODE, ChildRules, RestartRules

pytestmark = pytest.mark.system

AT_ONCE = RestartRules(crashes_max=1, backoff_s=0.0)
WAIT = "import signal; signal.signal(signal.SIGTERM, {on_term}); signal.pause()"
STOP_QUIETLY = "lambda *_: __import__('sys').exit(0)"


class Heard:
    """Collects events and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[StackEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: StackEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, event: str, count: int = 1) -> None:
        while sum(heard.event == event for heard in self.events) < count:
            self._changed.clear()
            await self._changed.wait()

    @property
    def names(self) -> list[str]:
        return [f"{event.event} {event.child}".strip() for event in self.events]


def child(name: str, code: str, probe: Callable[[], bool], needs: tuple[str, ...] = ()) -> ChildSpec:
    async def answers() -> bool:
        return probe()

    return ChildSpec(
        rules=ChildRules(name=name, needs=needs, stop_within_s=30),
        command=lambda: [sys.executable, "-c", code],
        probe=answers,
    )


async def test_a_crashed_child_is_started_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    code = f"import sys; open({str(runs)!r}, 'a').write('x')\nif len(open({str(runs)!r}).read()) < 2: sys.exit(3)\n"
    heard = Heard()
    spec = child("a", code + WAIT.format(on_term=STOP_QUIETLY), lambda: runs.exists() and runs.read_text() == "xx")
    shell = Shell([spec], logs=tmp_path, report=heard, restart=AT_ONCE)
    running = asyncio.create_task(shell.run())
    await heard.until("ready")
    shell.stop()
    await running
    assert heard.names == [
        "child_starting a",
        "child_crashed a",
        "child_starting a",
        "child_ready a",
        "ready",
        "child_stopping a",
        "stopped",
    ]
    assert heard.events[1].why == "ended with exit code 3"


async def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"

    def spec(name: str, needs: tuple[str, ...]) -> ChildSpec:
        started = tmp_path / f"{name}.started"
        leave = f"lambda *_: (open({str(order)!r}, 'a').write({name!r}), __import__('sys').exit(0))"
        ready = f"; open({str(started)!r}, 'w').close(); signal.pause()"
        return child(name, WAIT.format(on_term=leave).replace("; signal.pause()", ready), started.exists, needs)

    heard = Heard()
    shell = Shell([spec("a", ()), spec("b", ("a",)), spec("c", ("b",))], logs=tmp_path, report=heard)
    running = asyncio.create_task(shell.run())
    await heard.until("ready")
    shell.stop()
    await running
    assert order.read_text() == "cba"


@pytest.mark.parametrize(
    ("code", "starts", "why"), [(1, 2, "exit code 1, 2 times in a row"), (CONFIG_EXIT_CODE, 1, "exit code 78")]
)
async def test_a_child_that_keeps_failing_is_given_up_with_its_last_lines(
    tmp_path: Path, code: int, starts: int, why: str
) -> None:
    heard = Heard()
    spec = child("a", f"print('the reason', flush=True); raise SystemExit({code})", lambda: False)
    with pytest.raises(ChildFailedError, match=why) as failure:
        await Shell([spec], logs=tmp_path, report=heard, restart=AT_ONCE).run()
    assert "the reason" in failure.value.message
    assert failure.value.where == str(tmp_path / "a.log")
    assert heard.names.count("child_starting a") == starts
    assert heard.names[-1] == "stopped"


async def test_a_program_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    heard = Heard()
    spec = ChildSpec(
        rules=ChildRules(name="a"), command=lambda: [str(tmp_path / "nothing")], probe=lambda: asyncio.sleep(0, False)
    )
    with pytest.raises(ChildFailedError, match="Cannot start"):
        await Shell([spec], logs=tmp_path, report=heard, restart=AT_ONCE).run()


async def test_an_error_in_the_shell_itself_leaves_no_child(tmp_path: Path) -> None:
    started = tmp_path / "started"
    pids: list[int] = []

    def report(event: StackEvent) -> None:
        pids.extend([event.pid] if event.pid else [])
        if event.event == "ready":
            raise RuntimeError("the reader of the events is broken")

    code = f"import signal; open({str(started)!r}, 'w').close(); signal.pause()"
    shell = Shell([child("a", code, started.exists)], logs=tmp_path, report=report)
    with pytest.raises(RuntimeError, match="broken"):
        await shell.run()
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], 0)  # it was reaped


PARENT = """
import asyncio, sys
from pathlib import Path
from edgewise.local.shell import ChildSpec, Shell
from edgewise.local.supervisor import ChildRules
async def never(): return False
spec = ChildSpec(rules=ChildRules(name="a"), command=lambda: [sys.executable, "-c", sys.argv[1]], probe=never)
asyncio.run(Shell([spec], logs=Path(sys.argv[2]), report=lambda event: None).run())
"""
CHILD = """
import fcntl, signal
from edgewise.local.leash import watch_parent
held = open({lock!r}, "w"); fcntl.flock(held, fcntl.LOCK_EX)
watch_parent()
with open({fifo!r}, "w") as out: out.write("up")
signal.pause()
"""


def test_no_child_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    lock, fifo = tmp_path / "lock", tmp_path / "fifo"
    os.mkfifo(fifo)
    child_code = CHILD.format(lock=str(lock), fifo=str(fifo))
    with subprocess.Popen([sys.executable, "-c", PARENT, child_code, str(tmp_path)]) as parent:
        assert fifo.read_text() == "up"
        parent.send_signal(signal.SIGKILL)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits until the child, which holds it, is gone


def test_last_lines_are_few_and_short(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {n}\n" for n in range(100)) + "y" * 1000, encoding="utf-8")
    assert last_lines(log, 2) == ["line 99", "y" * 400]
    assert last_lines(tmp_path / "none.log") == []


async def test_a_log_that_grew_too_long_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("much older output\n")
    spec = child("a", "print('new')", lambda: False)
    with pytest.raises(ChildFailedError):
        await Shell([spec], logs=tmp_path, report=Heard(), restart=RestartRules(crashes_max=0), log_max_bytes=10).run()
    assert (tmp_path / "a.log").read_text() == "new\n"
    assert (tmp_path / "a.log.1").read_text() == "much older output\n"
