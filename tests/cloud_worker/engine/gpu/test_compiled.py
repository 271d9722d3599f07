"""Without a GPU: the kernels compile to binaries for one, and a worker on the CPU imports nothing of Triton."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
SHARED_BYTES = 99 * 1024
"""What a program may have on the smallest GPUs that are meant, those for consumers."""


def process(cache: Path, *arguments: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.cloud_worker.engine.gpu.compiling", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return process(tmp_path_factory.mktemp("triton"))


def check(compiled: dict[str, dict[str, Any]]) -> None:
    for name, made in compiled.items():
        assert made["binary"] and made["shared"] <= SHARED_BYTES, (name, made)


def test_a_worker_on_the_cpu_imports_nothing_of_triton(found: dict[str, Any]) -> None:
    assert found["imported"] == []


def test_the_kernels_compile_for_a_gpu_that_is_not_here(found: dict[str, Any]) -> None:
    check(found["compiled"])
    assert found["compiled"]["rows"]["products"] and found["compiled"]["prompt"]["products"], "no matrix units are used"


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_the_kernels_compile_for_many_shapes_and_gpus(tmp_path: Path) -> None:
    check(process(tmp_path, "all")["compiled"])
