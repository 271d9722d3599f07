"""A model for which there is no memory: said by name and with the numbers, and the process goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_agent.runtime.loading import out_of_memory
from edgewise.wire.errors import ManifestError, ModelTooLargeError
from edgewise.wire.manifest import build_manifest, write_manifest
from tests.edge_agent.tiny_model import EOS

BALLAST_MB = 64
CHILD = """
import json, resource, sys
from pathlib import Path
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edgewise.wire.errors import EdgewiseError
from tests.edge_agent.runtime.drive import answer, state

small, large, more = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) << 20
options = EngineOptions(memory_reserve_bytes=0)
engine = OnnxEngine.load(small, options)
before = answer(engine, state())
status = Path("/proc/self/status").read_text()
used = int(next(line for line in status.splitlines() if line.startswith("VmSize")).split()[1]) << 10
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + more, hard))
try:
    OnnxEngine.load(large, options)
    told = None
except EdgewiseError as error:
    told = [error.code, error.message, error.remedy, error.retry_after_s]
goes_on = answer(engine, state(seed=5)) == before
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
print(json.dumps([told, goes_on, answer(OnnxEngine.load(large, options), state()) == before]))
"""


@pytest.fixture(scope="module")
def heavy_dir(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a weight that nothing uses: it is read all the same."""
    directory = tmp_path_factory.mktemp("heavy") / "m"
    shutil.copytree(tiny_dir, directory)
    model = onnx.load(str(directory / "model.onnx"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(BALLAST_MB << 18, np.float32), "ballast"))
    onnx.save(model, str(directory / "model.onnx"))
    manifest = build_manifest(
        directory, name="heavy", tier="edge", format="onnx", weights="model.onnx", context_tokens=512, eos_ids=(EOS,)
    )
    write_manifest(directory, manifest)
    return directory


@pytest.mark.parametrize("room_mb", [8, 80])
def test_a_model_without_memory_is_named_with_what_it_needs_and_loads_when_there_is_some(
    tiny_dir: Path, heavy_dir: Path, room_mb: int
) -> None:
    """Not even the file can be read; it can, and what is made of it finds no room."""
    command = [sys.executable, "-c", CHILD, str(tiny_dir), str(heavy_dir), str(room_mb)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (code, message, remedy, retry_after_s), goes_on, loads_later = json.loads(done.stdout)
    assert code == "model_too_large" and "heavy" in message and f"{BALLAST_MB}." in message and "MiB more" in message
    assert "smaller model" in remedy and retry_after_s
    assert goes_on and loads_later


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("Exception during initialization: std::bad_alloc"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 1073741824"), True),
        (RuntimeError("Protobuf parsing failed."), False),
        (OSError(28, "No space left on device"), False),
    ],
    ids=["python", "system", "c++", "arena", "damaged", "disk"],
)
def test_want_of_memory_is_known_however_deep_it_is_told(error: Exception, memory: bool) -> None:
    outer = ManifestError("it does not load")
    outer.__cause__ = error
    assert out_of_memory(error) is out_of_memory(outer) is memory
    assert not out_of_memory(ManifestError("it does not load"))


def test_its_number_says_that_it_may_be_tried_again() -> None:
    assert (ModelTooLargeError.http_status, ModelTooLargeError.retryable) == (503, True)
