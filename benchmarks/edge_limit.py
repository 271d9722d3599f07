"""How fast this machine reads memory: `python -m benchmarks.edge_limit`, asked as edge_process.py says.

Decoding reads every weight once for each token, so bytes a second over bytes of weights is a limit of tokens a second.
The reading is BLAS's dot product of 1 GiB of float32 with itself, in pieces, a thread for each: NumPy's own sums are
slower than memory.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.edge_models import Say
from benchmarks.edge_process import EngineProcess, serve

READ_BYTES = 2**30
REPEATS = 3


def bandwidth(threads: Sequence[int], say: Say) -> dict[int, float]:
    """Bytes a second by threads, from a process of its own. Raises PeerError."""
    say("memory bandwidth")
    process = EngineProcess([sys.executable, "-m", "benchmarks.edge_limit"])
    try:
        return {count: float(process.ask("bandwidth", threads=count)["bytes_per_s"]) for count in threads}
    finally:
        process.close()


class Memory:
    """1 GiB that is read again and again."""

    def __init__(self) -> None:
        os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded
        import numpy

        self._numpy: Any = numpy
        self._values = numpy.ones(READ_BYTES // 4, numpy.float32)

    def bandwidth(self, threads: int) -> dict[str, Any]:
        """The best of a few readings, in bytes a second."""
        return {"bytes_per_s": READ_BYTES / min(self._read(threads) for _ in range(REPEATS))}

    def _read(self, threads: int) -> float:
        pieces = self._numpy.array_split(self._values, threads)
        workers = [threading.Thread(target=self._numpy.dot, args=(piece, piece)) for piece in pieces]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.perf_counter() - started


if __name__ == "__main__":
    serve(lambda: {"bandwidth": Memory().bandwidth})
