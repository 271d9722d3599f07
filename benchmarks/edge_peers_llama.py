"""llama.cpp in a process of its own, in its own environment: `python -m benchmarks.edge_peers_llama FILE THREADS`.

Its C functions are called directly, as a C program would: the Python class around them costs it speed.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.edge_process import operations_of, serve

CONTEXT_TOKENS = 1024
BATCH_TOKENS = 512


class LlamaCpp:
    """One sequence, greedy."""

    def __init__(self, file: str, threads: int) -> None:
        import llama_cpp  # type: ignore[import-not-found]
        import numpy

        self._lib: Any = llama_cpp
        self._numpy: Any = numpy
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(file.encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {file}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = CONTEXT_TOKENS, BATCH_TOKENS, BATCH_TOKENS
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        self._vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def read(self, ids: Sequence[int]) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)
        self._next = self._call(ids)

    def write(self, count: int) -> None:
        for _ in range(count):
            self._next = self._call([self._next])

    def _call(self, ids: Sequence[int]) -> int:
        tokens = (self._lib.llama_token * len(ids))(*ids)
        if self._lib.llama_decode(self._context, self._lib.llama_batch_get_one(tokens, len(ids))):
            raise RuntimeError("llama_decode failed")
        logits = self._lib.llama_get_logits_ith(self._context, -1)
        pointer = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float))
        return int(self._numpy.ctypeslib.as_array(pointer, (self._vocab,)).argmax())


if __name__ == "__main__":
    serve(lambda: operations_of(LlamaCpp(sys.argv[1], int(sys.argv[2]))))
