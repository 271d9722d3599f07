"""What of a machine picks the arithmetic kernels of ONNX Runtime, as one word. Not what its sensors say."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import onnxruntime as ort  # type: ignore[import-untyped]

PROVIDER: Final = "CPUExecutionProvider"
_KERNEL_FLAGS: Final = frozenset({"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


def kernel_id(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Library version, provider, architecture and vector extensions: equal ids give equal bits."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        words = set()
    flags = ",".join(sorted(words & _KERNEL_FLAGS))
    return f"onnxruntime-{ort.__version__}/{PROVIDER}/{platform.machine()}[{flags}]"
