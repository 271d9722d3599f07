"""How fast this machine multiplies: `python -m benchmarks.cloud_limit THREADS`, asked as edge_process.py says.

A step of many rows multiplies them by every weight: floating point operations a second over twice the weights is a
limit of tokens a second. The product is torch's own, of square bfloat16 matrices.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.edge_process import Operation, serve

SIZE = 2048
REPEATS = 5


def open_limit(threads: int) -> dict[str, Operation]:
    """Make the matrices and give the operation."""
    import torch

    torch.set_num_threads(threads)
    left, right = (torch.randn(SIZE, SIZE).bfloat16() for _ in range(2))

    def compute() -> dict[str, Any]:
        """The best of a few products, in operations a second."""
        best = float("inf")
        for _ in range(REPEATS):
            began = time.perf_counter()
            torch.matmul(left, right)
            best = min(best, time.perf_counter() - began)
        return {"flop_per_s": 2 * SIZE**3 / best}

    return {"compute": compute}


if __name__ == "__main__":
    serve(lambda: open_limit(int(sys.argv[1])))
