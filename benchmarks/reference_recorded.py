"""What a shipped edge model says of its own quantization: bits of its graph, and the parent in its findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.reference_rows import kept
from benchmarks.report import Floor, Row, row
from edgewise.wire.findings import accuracy, load_findings, perplexity
from edgewise.wire.manifest import load_manifest


def weight_bits(directory: Path) -> int | None:
    """The fewest bits of a quantized matrix in a model directory's graph; None when it is no quantized ONNX model."""
    manifest = load_manifest(directory, verify=False)
    if manifest.format != "onnx":
        return None
    import onnx

    graph = onnx.load(str(directory / "model.onnx"), load_external_data=False).graph
    nodes = [node for node in graph.node if node.op_type == "MatMulNBits"]
    found = [attribute.i for node in nodes for attribute in node.attribute if attribute.name == "bits"]
    integer = any(node.op_type in ("MatMulInteger", "DynamicQuantizeMatMul", "QLinearMatMul") for node in graph.node)
    return min([*found, *([8] if integer else [])], default=None)


def recorded_rows(directory: Path, name: str, bits: int) -> Iterator[Row]:
    """Accuracy and perplexity beside the parent's, as the findings of these very weights recorded them."""
    findings = load_findings(directory)
    if findings is None or findings.parent is None:
        return
    if findings.weights_digest != load_manifest(directory, verify=False).weights_digest:
        return
    mine, its = findings.cells, findings.parent.cells
    count, peer = sum(cell.total for cell in mine), f"{findings.parent.name}, recorded in findings.json"
    metric, floor = f"int{bits} edge in ONNX Runtime", Floor("ratio", ">=", 0.97) if bits == 4 else None
    before, after = 100 * accuracy(its), 100 * accuracy(mine)
    yield kept(metric, f"{name}, exact match", after, (peer, before), count, floor)
    condition, beside = f"{name}, answer perplexity", perplexity(its)
    yield row(metric, condition, "", "lower", perplexity(mine), peer=peer, peer_value=beside, samples=count)
