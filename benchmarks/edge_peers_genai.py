"""onnxruntime-genai in a process of its own: `python -m benchmarks.edge_peers_genai DIR THREADS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.edge_process import operations_of, serve

CONTEXT_TOKENS = 1024


class GenAi:
    """One sequence, greedy; nothing ends it but its length."""

    def __init__(self, directory: str, threads: int) -> None:
        import numpy
        import onnxruntime_genai  # type: ignore[import-untyped]

        self._numpy: Any = numpy
        self._lib: Any = onnxruntime_genai
        config = onnxruntime_genai.Config(directory)
        session = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        self._model = onnxruntime_genai.Model(config)

    def read(self, ids: Sequence[int]) -> None:
        parameters = self._lib.GeneratorParams(self._model)
        parameters.set_search_options(max_length=CONTEXT_TOKENS, do_sample=False)
        self._generator = self._lib.Generator(self._model, parameters)
        self._generator.append_tokens(self._numpy.array(ids, self._numpy.int32))
        self._generator.generate_next_token()

    def write(self, count: int) -> None:
        for _ in range(count):
            if self._generator.is_done():
                raise RuntimeError("the answer ended by itself")
            self._generator.generate_next_token()


if __name__ == "__main__":
    serve(lambda: operations_of(GenAi(sys.argv[1], int(sys.argv[2]))))
