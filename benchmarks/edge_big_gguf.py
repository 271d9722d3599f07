"""A random GGUF file of a shape of edge_models.py: `python -m benchmarks.edge_big_gguf 1.5b FILE`, in llama.cpp's
environment.

Matrices are blocks of Q4_0 drawn as such and written one by one: no float weights, and memory for the largest of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.edge_models import BIASES, SHAPES, Shape, config_of, matrices_of
from benchmarks.edge_peers_gguf import describe, gguf_name

BLOCK_WEIGHTS: Final = 32
BLOCK_BYTES: Final = 18
"""A float16 scale and 32 nibbles."""
_SCALE: Final = 0.004
"""Of a block whose weights spread by 0.02, as those of the other engines do."""


def write(shape: Shape, file: Path) -> None:
    """Write the file."""
    import gguf  # type: ignore[import-not-found]
    import numpy as np

    kind = gguf.GGMLQuantizationType.Q4_0
    writer = gguf.GGUFWriter(str(file), "qwen2")
    describe(writer, config_of(shape))
    for name, size in tensors_of(shape):
        if len(size) == 1:
            writer.add_tensor_info(gguf_name(name), size, np.dtype(np.float32), 4 * size[0])
        else:
            stored = (size[0], size[1] // BLOCK_WEIGHTS * BLOCK_BYTES)
            writer.add_tensor_info(gguf_name(name), stored, np.dtype(np.uint8), stored[0] * stored[1], raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(0)
    for name, size in tensors_of(shape):
        writer.write_tensor_data(_vector(name, size[0]) if len(size) == 1 else _blocks(random, *size))
    writer.close()


def tensors_of(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names of a Hugging Face directory and sizes, in the order of the file."""
    yield "model.embed_tokens.weight", (shape.vocab_size, shape.hidden_size)
    for layer in range(shape.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}{norm}.weight", (shape.hidden_size,)
        for matrix, size in matrices_of(shape).items():
            yield f"{prefix}{matrix}.weight", size
            if matrix.endswith(BIASES):
                yield f"{prefix}{matrix}.bias", size[:1]
    yield "model.norm.weight", (shape.hidden_size,)


def _vector(name: str, size: int) -> Any:
    """A norm of ones, or a bias of zeros."""
    import numpy as np

    return np.full(size, 0.0 if name.endswith(".bias") else 1.0, np.float32)


def _blocks(random: Any, rows: int, columns: int) -> Any:
    """Random blocks of Q4_0 [rows, bytes of a row]."""
    import numpy as np

    blocks = random.integers(0, 256, (rows, columns // BLOCK_WEIGHTS, BLOCK_BYTES), np.uint8)
    blocks[:, :, :2] = np.frombuffer(np.float16(_SCALE).tobytes(), np.uint8)
    return blocks.reshape(rows, -1)


if __name__ == "__main__":
    write(SHAPES[sys.argv[1]], Path(sys.argv[2]))
