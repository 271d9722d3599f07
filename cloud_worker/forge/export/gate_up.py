"""Gate and up of one MLP as one quantized matrix: the same rounded weights, read in one call instead of two.

before:  x -> MatMulNBits (gate), x -> MatMulNBits (up)          after:  x -> MatMulNBits -> Split -> gate, up

Done after rounding, so that every method still rounds, ranks and keeps matrices one by one.
"""

from __future__ import annotations

from typing import Any, Final

from cloud_worker.forge.export.graphs import drop_unused

GATE: Final = "/gate_proj/"
UP: Final = "/up_proj/"
BOTH: Final = "/gate_up_proj/"
_STORED: Final = slice(1, 4)
"""Inputs of MatMulNBits that hold stored tensors: weight, scales, zero points."""


def fuse_gate_up(model: Any) -> int:
    """Rewrite an onnx.ModelProto in place; how many layers were fused.

    A pair that differs in bits, block, arithmetic or zero points, or that has a bias, is left as it is.
    """
    nodes = {node.name: node for node in model.graph.node if node.op_type == "MatMulNBits"}
    pairs = [(node, nodes.get(name.replace(GATE, UP))) for name, node in nodes.items() if GATE in name]
    fitting = [(gate, up) for gate, up in pairs if up is not None and _alike(gate, up)]
    if fitting:
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        for gate, up in fitting:
            _fuse(model.graph, stored, gate, up)
        drop_unused(model)
    return len(fitting)


def _alike(gate: Any, up: Any) -> bool:
    same_input = gate.input[0] == up.input[0] and len(gate.input) == len(up.input) <= _STORED.stop
    return same_input and _numbers(gate) == _numbers(up)


def _numbers(node: Any) -> dict[str, int]:
    return {attribute.name: attribute.i for attribute in node.attribute}


def _fuse(graph: Any, stored: dict[str, Any], gate: Any, up: Any) -> None:
    import numpy as np
    import onnx

    name = gate.name.replace(GATE, BOTH)
    named = zip(gate.input[_STORED], up.input[_STORED], strict=True)
    joined = [_join(graph, stored, one, other) for one, other in named]
    numbers = _numbers(gate)
    width = numbers["N"]
    sized: dict[str, Any] = numbers | {"N": 2 * width}
    both = onnx.helper.make_node(
        "MatMulNBits", [gate.input[0], *joined], [f"{name}/output_0"], name=name, domain="com.microsoft",
        **sized,
    )  # fmt: skip
    sizes = onnx.numpy_helper.from_array(np.array([width, width], np.int64), f"{name}/Split/sizes")
    graph.initializer.append(sizes)
    outputs = [gate.output[0], up.output[0]]
    split = onnx.helper.make_node("Split", [both.output[0], sizes.name], outputs, name=f"{name}/Split", axis=-1)
    place = list(graph.node).index(gate)
    graph.node.remove(gate)
    graph.node.remove(up)
    graph.node.insert(place, split)
    graph.node.insert(place, both)


def _join(graph: Any, stored: dict[str, Any], one: str, other: str) -> str:
    """The name of a new tensor: both, one after the other along the output width."""
    import numpy as np
    import onnx

    if not one:
        return ""
    name = one.replace(GATE.strip("/"), BOTH.strip("/"))
    arrays = [onnx.numpy_helper.to_array(stored[each]) for each in (one, other)]
    graph.initializer.append(onnx.numpy_helper.from_array(np.concatenate(arrays), name))
    return name
