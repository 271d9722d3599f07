"""CUDA graphs of calls of output rows, one for each padded number of rows. What only a GPU can run is here, and little.

A call of rows launches some dozen small kernels a layer; replayed, the host says one word for all of them. Prompts are
long enough to hide their launches and come in many shapes, so they are not captured.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UPS = 2
"""Calls before the capture: they compile kernels and make workspaces, which a capture may not."""


class Graphs:
    """A gpu.decoder.Replay: computes a size of call for the first time, and from then on replays it.

    The tensor that it gives is overwritten by the next call of any size.
    """

    def __init__(self) -> None:
        self._captured = dict[int, tuple[torch.cuda.CUDAGraph, Tensor]]()
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, rows: int, compute: Callable[[], Tensor]) -> Tensor:
        """The hidden states of a call whose inputs are filled."""
        if rows not in self._captured:
            self._captured[rows] = self._capture(compute)
        graph, hidden = self._captured[rows]
        graph.replay()
        return hidden

    def _capture(self, compute: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                compute()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            hidden = compute()
        return graph, hidden
