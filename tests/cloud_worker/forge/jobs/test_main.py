"""The forge process itself is small: what needs torch or ONNX runs in its children."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cloud_worker.forge.jobs.config import ForgeConfig

HEAVY = ("torch", "onnx", "onnxruntime", "transformers")


def test_the_process_that_claims_jobs_imports_nothing_heavy() -> None:
    code = f"import sys, cloud_worker.forge.jobs.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lists_are_read_from_variables(tmp_path: Path) -> None:
    variables = {
        "EDGEWISE_FORGE_URL": "http://127.0.0.1:1",
        "EDGEWISE_FORGE_ROOTS": f"{tmp_path}, models",
        "EDGEWISE_FORGE_KINDS": "forge.evaluate,forge.export",
    }
    config = ForgeConfig.load(variables)
    assert config.roots == (tmp_path, Path("models"))
    assert config.kinds == ("forge.evaluate", "forge.export")
