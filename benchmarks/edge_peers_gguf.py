"""A random Qwen2 directory of edge_models.py as a GGUF file, in llama.cpp's environment:
`python -m benchmarks.edge_peers_gguf HF_DIR FILE`. Matrices in Q4_0, norms and biases in float32."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

_LAYER: Final = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_ENDS: Final = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
_Q4_0: Final = 2


def convert(directory: Path, file: Path) -> None:
    """Write the file; the vocabulary is made up, as the weights are."""
    import gguf  # type: ignore[import-not-found]

    config = json.loads((directory / "config.json").read_text())
    writer = gguf.GGUFWriter(str(file), "qwen2")
    describe(writer, config)
    with (directory / "model.safetensors").open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        start = stream.tell()
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                stream.seek(start + begin)
                _add(writer, gguf, gguf_name(name), _values(stream.read(end - begin), entry["shape"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(writer: Any, config: dict[str, Any]) -> None:
    """Tell a writer the shape, and a vocabulary that is made up."""
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(_Q4_0)
    words = ["<s>", "</s>", "<pad>", *(f"t{number}" for number in range(config["vocab_size"] - 3))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types([3, 3, 3] + [1] * (len(words) - 3))
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def gguf_name(name: str) -> str:
    """What a tensor of a Hugging Face directory is called in a GGUF file."""
    if name in _ENDS:
        return _ENDS[name]
    _, _, layer, rest = name.split(".", 3)
    found = _LAYER.get(rest) or f"{_LAYER[rest.rpartition('.')[0]]}.{rest.rpartition('.')[2]}"
    return f"blk.{layer}.{found}"


def _values(raw: bytes, shape: list[int]) -> Any:
    """float32 of bfloat16 bytes: the upper half of each value's bits."""
    import numpy

    return (numpy.frombuffer(raw, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32).reshape(shape)


def _add(writer: Any, gguf: Any, name: str, values: Any) -> None:
    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q4_0
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
