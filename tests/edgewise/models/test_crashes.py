"""Kill the store's process at every step it takes, cut its power, fill its disk: versions stay whole, and the next
change succeeds and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.models import ModelStore, StoreFullError
from edgewise.wire.errors import DataDirError
from tests.edgewise.models.crashing import SCENARIOS, Scenario
from tests.edgewise.models.directories import faults_of
from tests.edgewise.models.failing_disks import QuickDisk, full_at

ROOT = Path(__file__).parents[3]
CASES = [(name, cut) for name in SCENARIOS for cut in ("killed", "power-cut")]
CASES += [(name, "power-cut-out-of-turn") for name in ("update", "go-back")]
LEAST_STEPS = {
    "first": 40, "update": 30, "go-back": 6, "remove": 10, "mend": 15, "update-without-links": 40,
    "mend-without-links": 10,
}  # fmt: skip


@pytest.mark.parametrize(("scenario", "cut"), CASES)
def test_killed_at_every_step(tmp_path: Path, scenario: str, cut: str) -> None:
    command = [sys.executable, "-m", "tests.edgewise.models.crashing", str(tmp_path), scenario, cut]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert found["steps"] >= LEAST_STEPS[scenario]


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StoreFullError), (errno.EIO, DataDirError)], ids=["full", "broken"]
)
def test_a_disk_that_refuses_any_step(tmp_path: Path, number: int, error: type[Exception]) -> None:
    scenario = Scenario(tmp_path)
    scenario.prepare()
    before = ModelStore(scenario.base).versions()
    refused = 0
    for step in range(1, 200):
        folder = tmp_path / f"store-{step}"
        subprocess.run(["cp", "-a", scenario.base, folder], check=True)
        disk = full_at(step, number)
        try:
            scenario.change(folder, disk)
        except error as told:
            refused += 1
            assert str(told).count("To do:") == 1
            assert list((folder / "staging").iterdir()) == [], "a full disk is not made fuller"
            assert ModelStore(folder).current in scenario.allowed()
            assert faults_of(folder, settled=False) == []
        else:
            break
        scenario.change(folder, QuickDisk())
        assert (ModelStore(folder).current, ModelStore(folder).previous) == scenario.wanted()
        assert faults_of(folder, settled=True) == []
        shutil.rmtree(folder)
    assert refused >= LEAST_STEPS["update"]
    assert ModelStore(scenario.base).versions() == before


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A tmpfs of 256 KiB in a mount namespace of its own; the version before goes on."""
    scenario = 'mount -t tmpfs -o size=256k none disk && exec "$0" -m tests.edgewise.models.small_disk . disk'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"cd {tmp_path} && {scenario}"]
    (tmp_path / "disk").mkdir()
    probe = (
        subprocess.run([*command[:4], "true"], capture_output=True, check=False) if shutil.which("unshare") else None
    )
    if probe is None or probe.returncode:
        pytest.skip("this machine gives no mount namespace")
    done = subprocess.run(
        [*command, sys.executable],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"told": "StoreFullError", "faults": [], "current": "old", "then": "new"}
