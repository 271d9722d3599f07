"""The push benchmark's own rules: every device counts, time-outs are errors, rows say what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import policy_push
from benchmarks.policy_push import FLOOR_S, Effort, Heard, Round, checking_s, rows
from benchmarks.policy_push_nodes import device
from edgewise.node.link import NodeLink


def said(*lines: str) -> subprocess.Popen[str]:
    words = "\n".join(lines)
    return subprocess.Popen([sys.executable, "-c", f"print({words!r})"], stdout=subprocess.PIPE, text=True)


def test_what_the_devices_say_is_gathered_by_policy() -> None:
    heard, processes = Heard(), [said("a 1.5", "b 2.0"), said("a 2.5")]
    for process in processes:
        heard.listen(process)
    assert sorted(heard.wait_for("a", 2)) == [1.5, 2.5] and heard.wait_for("b", 1) == [2.0]
    for process in processes:
        process.wait()


def test_a_device_that_does_not_take_the_policy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_push, "WITHIN_S", 0.0)
    with pytest.raises(RuntimeError, match="0 of 1 devices"):
        Heard().wait_for("a", 1)


def test_the_floor_is_on_the_slowest_twentieth() -> None:
    quick = Round([0.1] * 95 + [9.0] * 5, 9.5)
    p50, p95, worst, shown = rows(Effort(100, 1), [quick], 0.5)
    assert (p50.ours, p95.ours, worst.ours, shown.ours) == (0.1, 0.1, 9.0, 9.5)
    assert p95.holds and p95.samples == 100 and worst.limit == 0.5
    slow = Round([0.1] * 90 + [FLOOR_S + 1] * 10, 9.5)
    assert rows(Effort(100, 1), [slow], 0.5)[1].holds is False


def test_a_device_is_a_real_link_and_checking_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_BENCH_KEY", "ek_x")
    assert isinstance(device("http://127.0.0.1:1", "node-1", tmp_path), NodeLink)
    assert checking_s() > 0
