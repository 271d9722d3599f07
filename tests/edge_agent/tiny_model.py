"""A tiny random decoder in the form of our exports (edgewise/graphs), int4 for the CPU, made in milliseconds.

Two layers, hidden 64, four heads over two key-value heads of 16, one token per byte and a few special ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from cloud_worker.forge.export.adapter_inputs import add_adapter_inputs
from edgewise.graphs.shape import FORM, FORM_KEY, HEAD_DIM_KEY, HIDDEN_OUTPUT
from edgewise.wire.manifest import Manifest, build_manifest, write_manifest

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, BLOCK = 2, 64, 4, 2, 16, 128, 64
SPECIALS = ("<|pad|>", "<|im_start|>", "<|im_end|>")
VOCAB = 256 + len(SPECIALS)
EOS = 2
TEXT = ("input_ids", "position_ids")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class TinyGraph:
    """Builds the graph node by node; `hidden_states` adds that output, `vocab` may leave ids that no token has."""

    def __init__(self, *, context_tokens: int, seed: int, hidden_states: bool, vocab: int) -> None:
        self._random = np.random.default_rng(seed)
        self._context = context_tokens
        self._hidden_states = hidden_states
        self._vocab = vocab
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def build(self) -> onnx.ModelProto:
        self._rotary_tables()
        self._constant("embed", self._random.normal(size=(self._vocab, HIDDEN)).astype(np.float32))
        self._node("Gather", ["embed", "input_ids"], "x")
        hidden = "x"
        for layer in range(LAYERS):
            hidden = self._layer(layer, hidden)
        self._head(self._norm("final", hidden))
        graph = helper.make_graph(self._nodes, "tiny", self._inputs(), self._outputs(), self._weights)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        helper.set_model_props(model, {FORM_KEY: FORM, HEAD_DIM_KEY: str(HEAD_DIM), "edgewise.kv": "float32"})
        return model

    def _rotary_tables(self) -> None:
        frequency = 1.0 / 10_000 ** (np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angles = np.arange(self._context)[:, None] * frequency
        self._constant("cos_cache", np.cos(angles).astype(np.float32))
        self._constant("sin_cache", np.sin(angles).astype(np.float32))

    def _layer(self, layer: int, hidden: str) -> str:
        normed = self._norm(f"{layer}.input", hidden)
        qkv = self._matmul(f"{layer}.qkv", normed, HIDDEN, (HEADS + 2 * KV_HEADS) * HEAD_DIM)
        past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        lengths = ["seqlens_k", "total_sequence_length"]
        inputs = [qkv, "", "", *past, *lengths, "cos_cache", "sin_cache", "position_ids"]
        outputs = [f"{layer}.attention", f"present.{layer}.key", f"present.{layer}.value"]
        sizes: dict[str, Any] = {"num_heads": HEADS, "kv_num_heads": KV_HEADS, "do_rotary": 1, "scale": HEAD_DIM**-0.5}
        self._nodes.append(helper.make_node("GroupQueryAttention", inputs, outputs, domain="com.microsoft", **sizes))
        mixed = self._matmul(f"{layer}.o", f"{layer}.attention", HEADS * HEAD_DIM, HIDDEN)
        hidden = self._node("Add", [hidden, mixed], f"{layer}.after_attention")
        normed = self._norm(f"{layer}.post", hidden)
        gate = self._matmul(f"{layer}.gate", normed, HIDDEN, FFN)
        self._node("Sigmoid", [gate], f"{layer}.sigmoid")
        self._node("Mul", [gate, f"{layer}.sigmoid"], f"{layer}.silu")
        up = self._matmul(f"{layer}.up", normed, HIDDEN, FFN)
        wide = self._node("Mul", [f"{layer}.silu", up], f"{layer}.wide")
        return self._node("Add", [hidden, self._matmul(f"{layer}.down", wide, FFN, HIDDEN)], f"{layer}.out")

    def _head(self, hidden: str) -> None:
        chosen = self._node("Gather", [hidden, "rows"], HIDDEN_OUTPUT, axis=1)
        self._matmul("logits", chosen, HIDDEN, self._vocab, output="logits")

    def _norm(self, name: str, hidden: str) -> str:
        self._constant(f"{name}.weight", np.ones(HIDDEN, np.float32))
        return self._node("SimplifiedLayerNormalization", [hidden, f"{name}.weight"], f"{name}.normed", epsilon=1e-6)

    def _matmul(self, name: str, x: str, width: int, height: int, output: str = "") -> str:
        """int4 weights in blocks, int8 activations: calls of one row and of many rows differ in the last bits."""
        nibbles = self._random.integers(0, 256, (height, width // BLOCK, BLOCK // 2), dtype=np.uint8)
        self._constant(f"{name}.weight_Q4", nibbles)
        self._constant(f"{name}.scales", np.full((height, width // BLOCK), 0.35 * width**-0.5, np.float32))
        node = helper.make_node(
            "MatMulNBits",
            [x, f"{name}.weight_Q4", f"{name}.scales"],
            [output or f"{name}.product"],
            name=_builders_name(name),
            domain="com.microsoft",
            K=width,
            N=height,
            bits=4,
            block_size=BLOCK,
            accuracy_level=4,
        )
        self._nodes.append(node)
        return output or f"{name}.product"

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, array: np.ndarray) -> None:
        self._weights.append(numpy_helper.from_array(array, name))

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        tokens = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "new"]) for name in TEXT]
        lengths = helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, ["batch"])
        total = helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, [])
        rows = helper.make_tensor_value_info("rows", TensorProto.INT64, ["rows"])
        return [*tokens, lengths, total, rows, *_cache_infos("past_key_values", "past")]

    def _outputs(self) -> list[onnx.ValueInfoProto]:
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "rows", self._vocab])
        hidden = helper.make_tensor_value_info(HIDDEN_OUTPUT, TensorProto.FLOAT, ["batch", "rows", HIDDEN])
        return [logits, *([hidden] if self._hidden_states else []), *_cache_infos("present", "total")]


def _builders_name(name: str) -> str:
    """What the model builder would call the matrix `LAYER.PART`."""
    layer, _, part = name.partition(".")
    home = {"qkv": "attn", "o": "attn", "gate": "mlp", "up": "mlp", "down": "mlp"}.get(part)
    return f"/model/layers.{layer}/{home}/{part}_proj/MatMul_Q4" if home else f"/{name}/MatMul_Q4"


def _cache_infos(prefix: str, length: str) -> list[onnx.ValueInfoProto]:
    shape: list[str | int | None] = ["batch", KV_HEADS, length, "kv_cache_dim"]
    names = [f"{prefix}.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]


def write_tiny_model(
    directory: Path,
    *,
    context_tokens: int = 512,
    seed: int = 7,
    hidden_states: bool = False,
    vocab: int = VOCAB,
    adapter_rank: int = 0,
) -> Manifest:
    """Write a whole model directory with its manifest; the same arguments give the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    tiny = TinyGraph(context_tokens=context_tokens, seed=seed, hidden_states=hidden_states, vocab=vocab)
    model = tiny.build()
    if adapter_rank:
        add_adapter_inputs(model, adapter_rank)
    (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (directory / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    tiny_tokenizer().save(str(directory / "tokenizer.json"))
    manifest = build_manifest(
        directory,
        name="tiny-edge",
        tier="edge",
        format="onnx",
        weights="model.onnx",
        context_tokens=context_tokens,
        eos_ids=(EOS,),
    )
    write_manifest(directory, manifest)
    return manifest


def tiny_tokenizer() -> Tokenizer:
    """One token per byte, after the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate([*SPECIALS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer
