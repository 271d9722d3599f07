"""What an export tells: facts read from the graph, how near it is to torch, and both in the card and the findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_worker.forge.card.files import write_card
from cloud_worker.forge.export.device_form import KV_KEY
from cloud_worker.forge.export.folder import GRAPH_FILE
from cloud_worker.forge.export.graphs import graph_bytes, graph_files, load_graph
from cloud_worker.forge.export.options import FLOAT_ARITHMETIC
from cloud_worker.forge.quantize.divergence import Divergence
from edgewise.graphs import DecoderGraph
from edgewise.graphs.shape import FORM_KEY, HIDDEN_OUTPUT
from edgewise.wire.findings import Findings, Table
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, sha256_file

TITLE: Final = "Export"
HEAD: Final = ("", "")
_TEXT: Final = (
    "The graph beside the weights it was made from, in torch and float32: on replies that those weights gave to a few "
    "English and Chinese prompts, token by token as a device decodes."
)
_UNEXAMINED: Final = "It was not examined: nobody has judged its answers."
_SLOW: Final = "activations stay float in its matrices (accuracy level 0), which costs about 40 % of the decode speed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """What a graph file is: bytes with its data file, the form, the cache's element and bytes of a token, blocks
    (values that share a scale) and bits of its quantized matrices, the width of its hidden-state output (0: none), the
    largest rank of adapters (0: none) and the modules that they may change."""

    bytes: int
    form: str
    cache: str
    cache_bytes_per_token: int
    blocks: tuple[int, ...]
    bits: tuple[int, ...]
    hidden_states: int
    float_arithmetic: bool
    adapter_rank: int = 0
    adapter_modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export made: the directory, its version id, the precision's method, what the graph is, how near it is to
    torch, and what its user should mind."""

    directory: str
    version: str
    precision: str
    method: str
    graph: GraphFacts
    against_torch: Divergence
    warnings: tuple[str, ...] = ()


def graph_facts(graph: Path) -> GraphFacts:
    """Read a graph of the device form. Raises ManifestError, GraphUnfitError."""
    shape = DecoderGraph.load(graph).shape
    model = load_graph(graph)
    said = {prop.key: prop.value for prop in model.metadata_props}
    matrices = [
        {attribute.name: attribute.i for attribute in node.attribute}
        for node in model.graph.node
        if node.op_type == "MatMulNBits"
    ]
    return GraphFacts(
        bytes=graph_bytes(graph),
        form=said[FORM_KEY],
        cache=said[KV_KEY],
        cache_bytes_per_token=shape.kv_bytes_per_token,
        blocks=tuple(sorted({one["block_size"] for one in matrices})),
        bits=tuple(sorted({one["bits"] for one in matrices})),
        hidden_states=shape.hidden,
        adapter_rank=shape.adapter.rank if shape.adapter else 0,
        adapter_modules=shape.adapter.modules if shape.adapter else (),
        float_arithmetic=any(one.get("accuracy_level", FLOAT_ARITHMETIC) == FLOAT_ARITHMETIC for one in matrices),
    )


def warnings_of(facts: GraphFacts) -> tuple[str, ...]:
    """What is allowed and should be known."""
    return (_SLOW,) if facts.float_arithmetic else ()


def rows(method: str, facts: GraphFacts, far: Divergence) -> tuple[tuple[str, str], ...]:
    """The report in words, for a table with two columns."""
    rounded = f"{_listed(facts.bits)} bits in blocks of {_listed(facts.blocks)}" if facts.blocks else "see the method"
    takes = f"rank {facts.adapter_rank} in {', '.join(facts.adapter_modules)}"
    adapters = (("adapters", takes),) if facts.adapter_rank else ()
    return (
        ("method", method),
        ("graph", f"{facts.bytes:,} bytes, device form {facts.form}"),
        ("matrices", rounded),
        ("key-value cache", f"{facts.cache}, {facts.cache_bytes_per_token:,} bytes a token"),
        (HIDDEN_OUTPUT, f"{facts.hidden_states} wide" if facts.hidden_states else "none"),
        *adapters,
        ("same token as torch", f"{far.agreement:.4f} of {far.tokens:,} places"),
        ("largest logit gap", f"{far.largest_gap:.3f}"),
        ("perplexity (torch)", f"{far.perplexity:.4f} ({far.float_perplexity:.4f})"),
    )


def write_report(folder: Path, name: str, tier: str, method: str, facts: GraphFacts, far: Divergence) -> None:
    """findings.json and CARD.md of an assembled directory; the manifest, which lists them, is written after this."""
    graph = folder / GRAPH_FILE
    minded = [f"Mind: {warning}." for warning in warnings_of(facts)]
    findings = Findings(
        name=name,
        tier=tier,
        runtime="ONNX Runtime, one thread",
        weights_digest=sha256_file(graph),
        weights_bytes=sum(path.stat().st_size for path in graph_files(graph)),
        tokenizer_digest=sha256_file(folder / TOKENIZER_FILE),
        template_digest=sha256_file(folder / TEMPLATE_FILE),
        examination="",
        examination_seed=0,
        cells=(),
        tables=(Table(TITLE, _TEXT, HEAD, rows(method, facts, far)),),
        notes="\n\n".join([*minded, _UNEXAMINED]),
    )
    write_card(folder, findings)


def _listed(numbers: tuple[int, ...]) -> str:
    return " and ".join(map(str, numbers))
