"""The builder's graph made into the device form (edgewise/graphs/shape.py): what decoding knows is given, not computed.

before   attention_mask -> ReduceSum, Shape, Cast -> attention   after   seqlens_k, total_sequence_length -> attention
         (attention counts positions by itself)                          position_ids -> attention
         last row -> head -> logits [1, 1, vocab]                        rows -> Gather -> head -> logits [1, n, vocab]

A graph of another pattern is refused: what was not understood must not be rewritten. Nothing is computed here.
"""

from __future__ import annotations

from typing import Any, Final

from cloud_worker.forge.export.errors import GraphUnfitError
from cloud_worker.forge.export.graphs import drop_unused
from edgewise.graphs.shape import FORM, FORM_KEY, HEAD_DIM_KEY, HIDDEN_OUTPUT

KV_KEY: Final = "edgewise.kv"
ROWS_NODE: Final = "/lm_head/rows/Gather"
ATTENTION: Final = "GroupQueryAttention"
_LENGTHS: Final = {5: "seqlens_k", 6: "total_sequence_length"}
_POSITIONS: Final = (9, "position_ids")
_HEADS: Final = ("MatMul", "MatMulNBits")
_BUILDER: Final = "the onnxruntime-genai builder with prune_lm_head and without windowed_kv_cache"


def to_device_form(model: Any, head_dim: int) -> Any:
    """Rewrite an onnx.ModelProto of the builder (pruned head, no position_ids) in place, and return it.

    Raises GraphUnfitError naming the node that was expected; the model may then be half rewritten.
    """
    graph = model.graph
    for node in attention(model):
        _give_lengths(node)
    _choose_rows(graph)
    drop_unused(model)
    _sign(graph)
    describe(model, {FORM_KEY: FORM, HEAD_DIM_KEY: str(head_dim), KV_KEY: "float32"})
    return model


def attention(model: Any) -> list[Any]:
    """The attention nodes, one for each layer. Raises GraphUnfitError where there is none."""
    found = [node for node in model.graph.node if node.op_type == ATTENTION]
    if not found:
        raise _unknown("it has no attention node", ATTENTION)
    return found


def describe(model: Any, said: dict[str, str]) -> None:
    """Add to what the graph says of itself (metadata_props), over what it said under the same keys."""
    import onnx

    onnx.helper.set_model_props(model, {prop.key: prop.value for prop in model.metadata_props} | said)


def show_hidden_states(model: Any) -> Any:
    """Let a graph of the device form, quantized or not, give the head's input too: hidden_states [1, n, hidden]."""
    import onnx

    graph = model.graph
    node = next((node for node in graph.node if node.name == ROWS_NODE), None)
    norm = next((one for one in graph.node if node and node.input[0] in one.output), None)
    widths = [tuple(one.dims) for one in graph.initializer if norm and one.name in norm.input]
    width = next((dims[0] for dims in widths if len(dims) == 1), None)
    if node is None or width is None:
        raise _unknown("the rows of its head are not chosen from a final norm", ROWS_NODE)
    before = node.output[0]
    for reader in graph.node:
        for place, name in enumerate(reader.input):
            if name == before:
                reader.input[place] = HIDDEN_OUTPUT
    node.output[0] = HIDDEN_OUTPUT
    _forget_values(graph, {before})
    shape = ["batch_size", "rows", width]
    graph.output.append(onnx.helper.make_tensor_value_info(HIDDEN_OUTPUT, onnx.TensorProto.FLOAT, shape))
    return model


def _give_lengths(node: Any) -> None:
    """Lengths and positions as inputs of the graph."""
    numbers = {attribute.name: attribute.i for attribute in node.attribute}
    if len(node.input) < 9 or not all(node.input[place] for place in (3, 4, *_LENGTHS, 7, 8)):
        raise _unknown(f"{node.name} lacks a cache, lengths or rotary tables", f"{ATTENTION} with inputs 3 to 8")
    if numbers.get("do_rotary") != 1:
        raise _unknown(f"{node.name} does not turn positions itself", f"{ATTENTION} with do_rotary = 1")
    if numbers.get("sliding_window_cache"):
        raise _unknown(f"{node.name} wants a cache as short as its window", f"{ATTENTION} on a cache of full length")
    place, positions = _POSITIONS
    node.input.extend([""] * (place + 1 - len(node.input)))
    if node.input[place]:
        raise _unknown(f"{node.name} has positions already", f"{ATTENTION} that counts positions by itself")
    for at, name in (*_LENGTHS.items(), (place, positions)):
        node.input[at] = name


def _choose_rows(graph: Any) -> None:
    """`rows` instead of the last row before the head."""
    import onnx

    made_by = {name: node for node in graph.node for name in node.output}
    head = made_by.get("logits")
    if head is None or head.op_type not in _HEADS:
        found = head.op_type if head else "nothing"
        raise _unknown(f"its logits come from {found}", f"{' or '.join(_HEADS)} that gives logits")
    unsqueeze = made_by.get(head.input[0])
    gather = made_by.get(unsqueeze.input[0]) if unsqueeze and unsqueeze.op_type == "Unsqueeze" else None
    axis = {one.name: one.i for one in gather.attribute}.get("axis") if gather else None
    if gather is None or gather.op_type != "Gather" or axis != 1:
        raise _unknown("its head does not take the last row alone", "Gather (axis 1) and Unsqueeze before the head")
    chosen = onnx.helper.make_node("Gather", [gather.input[0], "rows"], [head.input[0]], name=ROWS_NODE, axis=1)
    graph.node.insert(list(graph.node).index(gather), chosen)
    graph.node.remove(gather)
    graph.node.remove(unsqueeze)
    _forget_values(graph, {head.input[0]})


def _sign(graph: Any) -> None:
    """The signature: no attention_mask, the new inputs, logits of `rows`."""
    import onnx

    int32, int64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64
    read = {name for node in graph.node for name in node.input}
    if "attention_mask" in read:
        reader = next(node.name for node in graph.node if "attention_mask" in node.input)
        raise _unknown(f"{reader} reads attention_mask", "attention_mask read for lengths only")
    kept = [one for one in graph.input if one.name != "attention_mask"]
    del graph.input[:]
    graph.input.extend(kept)
    new: list[tuple[str, int, list[str]]] = [
        ("position_ids", int64, ["batch_size", "sequence_length"]),
        ("seqlens_k", int32, ["batch_size"]),
        ("total_sequence_length", int32, []),
        ("rows", int64, ["rows"]),
    ]
    graph.input.extend(onnx.helper.make_tensor_value_info(*each) for each in new)
    logits = next(one for one in graph.output if one.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_param = "rows"
    made = {name for node in graph.node for name in node.output}
    _forget_values(graph, {one.name for one in graph.value_info} - made)


def _forget_values(graph: Any, names: set[str]) -> None:
    """Drop the noted types and shapes of these values."""
    kept = [one for one in graph.value_info if one.name not in names]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _unknown(why: str, expected: str) -> GraphUnfitError:
    return GraphUnfitError(
        f"The graph cannot be brought into the device form: {why}",
        where="ONNX graph",
        expected=f"{expected}, as {_BUILDER} writes it",
        remedy="export a Llama, Qwen2 or Qwen3 model with the version of onnxruntime-genai in constraints.txt",
    )
