"""Run as a process, without the interpreter: what an engine on the CPU imports, and what the compiler makes of the
kernels for a GPU that is not here. Prints one line of JSON; `all` compiles many shapes.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def imported_by_a_worker() -> list[str]:
    """What a worker on the CPU has imported of Triton."""
    import cloud_worker.main

    assert cloud_worker.main
    return [name for name in sys.modules if name.split(".")[0] == "triton" or "engine.gpu.kernels" in name]


def compiled(heads: tuple[int, int, int], dtype: str, window: int, splits: int, capability: int) -> dict[str, Any]:
    """Shared memory, and whether there is a binary, for (heads, kv_heads, dim)."""
    import torch
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from cloud_worker.engine.gpu import kernels
    from cloud_worker.engine.gpu.attention import prompt_tiles, row_tiles

    count, kv_heads, dim = heads
    torch_type = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype]
    padded = 1 << (dim - 1).bit_length()
    group = count // kv_heads
    tiles = row_tiles(group) if splits else prompt_tiles(group, padded * torch_type.itemsize)
    values, floats = f"*{dtype}", "*fp32" if splits else f"*{dtype}"
    constants = {
        "WINDOW": window, "KV_HEADS": kv_heads, "GROUP": count // kv_heads, "HEAD_DIM": dim,
        "DIM": padded, "BLOCK": 32, "ROWS": tiles.lanes, "SPLIT": 256, "SPLITS": splits,
        "WORKERS": min(splits, 32) or 1, "DOT": kernels.TYPES[torch_type], "PRECISION": "ieee",
    }  # fmt: skip
    kinds = [values, values, values, floats, floats, "*i64", "*i64", "*i64", "i32", "i32", "i32", "fp32"]
    names = kernels.attend_kernel.arg_names
    signature = dict(zip(names, kinds + ["constexpr"] * len(constants), strict=True))
    whole = {(place,): [["tt.divisibility", 16]] for place in range(10)}
    source = ASTSource(kernels.attend_kernel, signature, constants, whole)
    made = triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": tiles.warps})
    return {"binary": len(made.asm["cubin"]) > 0, "shared": made.metadata.shared, "products": "mma" in made.asm["ptx"]}


def merged(capability: int) -> dict[str, Any]:
    """The same of the kernel that puts splits together."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from cloud_worker.engine.gpu import kernels

    constants = {"WINDOW": 0, "HEADS": 14, "HEAD_DIM": 64, "DIM": 64, "SPLIT": 256, "SPLITS": 8}
    kinds = ["*fp32", "*fp32", "*bf16", "*i64"] + ["constexpr"] * len(constants)
    signature = dict(zip(kernels.merge_kernel.arg_names, kinds, strict=True))
    made = triton.compile(ASTSource(kernels.merge_kernel, signature, constants), GPUTarget("cuda", capability, 32))
    return {"binary": len(made.asm["cubin"]) > 0, "shared": made.metadata.shared, "products": False}


def main(many: bool) -> None:
    """Print what was found."""
    imported = imported_by_a_worker()
    half_b = (14, 2, 64)
    found = {
        "rows": compiled(half_b, "bf16", 0, 8, 90),
        "prompt": compiled(half_b, "bf16", 0, 0, 90),
        "merge": merged(90),
    }
    if many:
        for capability in (80, 90, 120):
            for heads in ((14, 2, 64), (32, 8, 128), (8, 8, 80), (16, 1, 96)):
                for dtype in ("bf16", "fp16", "fp32"):
                    for splits in (0, 8):
                        name = f"{capability}-{heads}-{dtype}-{splits}"
                        found[name] = compiled(heads, dtype, 70, splits, capability)
    print(json.dumps({"imported": imported, "compiled": found}))


if __name__ == "__main__":
    main(many="all" in sys.argv)
