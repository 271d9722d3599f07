"""Which nodes of a decoder graph multiply by a stored float matrix: what every method rounds, by node name."""

from __future__ import annotations

from typing import Any


def matrices(graph: Any) -> dict[str, tuple[int, int]]:
    """Names of the MatMul nodes of a ModelProto whose second input is an initializer, with its shape [in, out]."""
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    found = {}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and len(stored.get(node.input[1], ())) == 2:
            found[node.name] = stored[node.input[1]]
    return found


def short_name(node: str) -> str:
    """`layers.0.attn.qkv_proj` of /model/layers.0/attn/qkv_proj/MatMul."""
    return node.removeprefix("/").removeprefix("model/").removesuffix("/MatMul").replace("/", ".")
