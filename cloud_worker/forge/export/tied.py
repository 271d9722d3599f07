"""One copy of a tied embedding in a quantized graph: lookups read the head's quantized rows.

before:  float weight -> Transpose -> Gather          after:  head's weight -> Reshape -> GatherBlockQuantized
         head's weight -> MatMulNBits                         head's weight -> MatMulNBits
"""

from __future__ import annotations

from typing import Any, Final

from cloud_worker.forge.export.graphs import drop_unused

HEAD_WEIGHT: Final = "lm_head."
EMBED: Final = "/model/embed_tokens/"


def tie_embedding(model: Any) -> bool:
    """Rewrite an onnx.ModelProto in place; False, and nothing changed, where the head is not in symmetric blocks or the
    embedding is not its own transpose."""
    head = next((node for node in model.graph.node if _is_head(node)), None)
    gather = next((node for node in model.graph.node if node.name == f"{EMBED}Gather"), None)
    if head is None or gather is None:
        return False
    transpose = next((node for node in model.graph.node if node.output[0] == gather.input[0]), None)
    if transpose is None or transpose.op_type != "Transpose":
        return False
    place = list(model.graph.node).index(transpose)
    model.graph.node.remove(transpose)
    model.graph.node.remove(gather)
    for offset, node in enumerate(_lookup(model, head, gather)):
        model.graph.node.insert(place + offset, node)
    drop_unused(model)
    return True


def _is_head(node: Any) -> bool:
    """A symmetric block-quantized head: no zero points."""
    return node.op_type == "MatMulNBits" and node.input[1].startswith(HEAD_WEIGHT) and len(node.input) == 3


def _lookup(model: Any, head: Any, gather: Any) -> list[Any]:
    import numpy as np
    import onnx

    sizes = {attribute.name: attribute.i for attribute in head.attribute}
    shape = np.array([sizes["N"], sizes["K"] * sizes["bits"] // 8], np.int64)
    name = f"{EMBED}Reshape/shape"
    model.graph.initializer.append(onnx.numpy_helper.from_array(shape, name))
    rows = f"{EMBED}Reshape/output_0"
    reshape = onnx.helper.make_node("Reshape", [head.input[1], name], [rows], name=f"{EMBED}Reshape")
    lookup = onnx.helper.make_node(
        "GatherBlockQuantized",
        [rows, gather.input[1], head.input[2]],
        list(gather.output),
        name=f"{EMBED}GatherBlockQuantized",
        domain="com.microsoft",
        bits=sizes["bits"],
        block_size=sizes["block_size"],
        gather_axis=0,
        quantize_axis=1,
    )
    return [reshape, lookup]
