"""Inputs for low-rank adapters in a graph of the device form, rounded or not (edgewise/graphs/adapter.py has the form).

before:  x -> matrix -> y          after:  x -> matrix -> base;  x -> MatMul a -> MatMul b -> + base -> y

Matrices that join modules (q, k and v; gate and up) get one pair of inputs. Nothing is computed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cloud_worker.forge.export.device_form import attention, describe
from cloud_worker.forge.export.errors import CombinationRefusedError, GraphUnfitError
from edgewise.graphs.adapter import ADAPTER_KEY, RANK_MAX, AdapterShape, Site, input_names
from edgewise.graphs.shape import HEAD_DIM_KEY

MODULES: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
JOINED: Final = {"qkv_proj": MODULES[:3], "gate_up_proj": MODULES[4:6]}
"""Matrices that hold several modules, by the name that the builder and gate_up.py give them."""
_MATRIX: Final = re.compile(r"/model/layers\.(\d+)/(?:attn|mlp)/([a-z_]+_proj)/MatMul(?:_Q\d)?")
_KINDS: Final = ("MatMul", "MatMulNBits")


def check_request(rank: int, modules: Sequence[str]) -> None:
    """Raises CombinationRefusedError for what no graph can be given."""
    if not 0 <= rank <= RANK_MAX:
        raise _refused(f"a rank of {rank}", f"--adapter-rank 1 to {RANK_MAX}")
    if modules and not rank:
        raise _refused("modules without a rank", "--adapter-rank R with --adapter-modules")
    if odd := [module for module in modules if module not in MODULES]:
        raise _refused(f"no module {odd[0][:40]!r}", ", ".join(MODULES))


def add_adapter_inputs(model: Any, rank: int, modules: Sequence[str] = MODULES) -> Any:
    """Rewrite an onnx.ModelProto in place, and return it.

    A matrix gets inputs where it holds one of the modules, and then takes all that it holds. Raises GraphUnfitError
    naming what was expected; the model may then be half rewritten.
    """
    layers = attention(model)
    found = {(layer, name): node for layer, name, node in _matrices(model)}
    sites = {name: _site(model, name, node) for (layer, name), node in found.items() if layer == 0}
    sites = {name: site for name, site in sites.items() if {module for module, _ in site.modules} & set(modules)}
    held = {module for site in sites.values() for module, _ in site.modules}
    if missing := sorted(set(modules) - held):
        raise _unknown(f"it has no matrix for {', '.join(missing)}")
    for layer in range(len(layers)):
        for name, site in sites.items():
            node = found.get((layer, name))
            if node is None or _sizes(model, node) != (site.inputs, site.outputs):
                raise _unknown(f"{name} of layer {layer} is missing, or unlike that of layer 0")
            _branch(model.graph, node, layer, name, site)
    describe(model, {ADAPTER_KEY: AdapterShape(rank, sites).said()})
    return model


def _matrices(model: Any) -> Iterator[tuple[int, str, Any]]:
    for node in model.graph.node:
        named = _MATRIX.fullmatch(node.name)
        if named and node.op_type in _KINDS:
            yield int(named[1]), named[2], node


def _site(model: Any, name: str, node: Any) -> Site:
    inputs, outputs = _sizes(model, node)
    modules = JOINED.get(name, (name,))
    if len(modules) == 1:
        widths = [outputs]
    elif name == "gate_up_proj":
        widths = [outputs // 2] * 2
    else:
        numbers = {one.name: one.i for one in attention(model)[0].attribute}
        said = {prop.key: prop.value for prop in model.metadata_props}
        widths = [numbers[heads] * int(said[HEAD_DIM_KEY]) for heads in ("num_heads", "kv_num_heads", "kv_num_heads")]
    if sum(widths) != outputs:
        raise _unknown(f"{name} has {outputs} outputs where its modules have {sum(widths)}")
    return Site(inputs, tuple(zip(modules, widths, strict=True)))


def _sizes(model: Any, node: Any) -> tuple[int, int]:
    """Inputs and outputs of a matrix."""
    numbers = {one.name: one.i for one in node.attribute}
    if node.op_type == "MatMulNBits":
        return numbers["K"], numbers["N"]
    dims = next((tuple(one.dims) for one in model.graph.initializer if one.name == node.input[1]), ())
    if len(dims) != 2:
        raise _unknown(f"the values of {node.name} are not stored beside it")
    return dims[0], dims[1]


def _branch(graph: Any, node: Any, layer: int, name: str, site: Site) -> None:
    import onnx

    a, b = input_names(layer, name)
    rank, stem = f"{a}.rank", f"/adapter.{layer}.{name}"
    shapes: tuple[tuple[str, list[str | int | None]], ...] = ((a, [site.inputs, rank]), (b, [rank, site.outputs]))
    for given, shape in shapes:
        graph.input.append(onnx.helper.make_tensor_value_info(given, onnx.TensorProto.FLOAT, shape))
    output, base, low, high = node.output[0], f"{stem}/base", f"{stem}/low", f"{stem}/high"
    node.output[0] = base
    place = list(graph.node).index(node) + 1
    branch = (
        onnx.helper.make_node("MatMul", [node.input[0], a], [low], name=f"{stem}/MatMul_a"),
        onnx.helper.make_node("MatMul", [low, b], [high], name=f"{stem}/MatMul_b"),
        onnx.helper.make_node("Add", [base, high], [output], name=f"{stem}/Add"),
    )
    for offset, one in enumerate(branch):
        graph.node.insert(place + offset, one)


def _refused(why: str, expected: str) -> CombinationRefusedError:
    return CombinationRefusedError(
        f"These export settings are refused: {why}",
        where="--adapter-rank, --adapter-modules",
        expected=expected,
        remedy="leave both out for a model that takes no adapters",
    )


def _unknown(why: str) -> GraphUnfitError:
    return GraphUnfitError(
        f"The graph cannot be given inputs for adapters: {why}",
        where="ONNX graph",
        expected="float or block-quantized matrices, as int4, int8, fp32 and the block methods write them",
        remedy="choose --precision int4, int8 or fp32, or leave --adapter-rank out",
    )
