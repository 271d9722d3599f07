"""From an adapter in PEFT's layout (adapter_config.json, adapter_model.safetensors) to the file that devices keep.

y = W x + s B A x with s = alpha / r, or alpha / sqrt(r) for rank-stabilised ones (arXiv 2106.09685, 2312.03732)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_worker.forge.export.checkpoint import Stored, read_header
from edgewise.graphs import Adapter, DecoderGraph
from edgewise.graphs.adapter_file import AdapterFile, AdapterHeader, write_adapter
from edgewise.wire.errors import BadRequestError
from edgewise.wire.manifest import Manifest, load_manifest

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
CONFIG_BYTES_MAX: Final = 1 << 20
_TENSOR: Final = re.compile(
    r"(?:base_model\.model\.)?model\.layers\.(\d{1,4})\.(?:self_attn|mlp)\.([a-z_]+)\.lora_([AB])(?:\.default)?\.weight"
)
_OTHERWISE: Final = {
    "use_dora": "its weights are decomposed (DoRA): that is no sum",
    "lora_bias": "it changes biases",
    "modules_to_save": "it replaces whole modules",
    "trainable_token_indices": "it changes embeddings",
    "target_parameters": "it adapts bare parameters",
    "alora_invocation_tokens": "it begins in mid-text",
}
"""Fields of adapter_config.json that ask for what a graph does not compute, and why."""


class PeftAdapterError(BadRequestError):
    """A directory that holds no adapter that can be turned into a device's; the text says what in it is why."""

    number, code = 1869, "adapter_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was written: the file, its digest, the base's version and name, the largest rank, the modules."""

    file: str
    digest: str
    base: str
    base_name: str
    rank: int
    modules: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class _Lora:
    """The numbers of adapter_config.json that the formula needs; patterns stand over rank and alpha."""

    rank: int
    alpha: float
    rank_pattern: dict[str, int]
    alpha_pattern: dict[str, float]
    stabilised: bool

    def scale(self, name: str, rank: int) -> float:
        alpha = _of_pattern(self.alpha_pattern, name, self.alpha)
        return alpha / (math.sqrt(rank) if self.stabilised else rank)


def convert_adapter(directory: Path, base: Path, out: Path) -> Converted:
    """Write the adapter of a PEFT `directory` for the edge model in `base`; `out` is a file, or a folder for one.

    Raises PeftAdapterError, CheckpointFileError, AdapterUnfitError, and what loading a model directory raises.
    """
    lora = _read_config(directory)
    manifest = load_manifest(base)
    matrices = dict(_matrices(directory, lora))
    if not matrices:
        raise _refused("it holds no matrices", directory, "lora_A and lora_B of some modules")
    _check_fit(matrices, base, manifest)
    target = out / f"{directory.resolve().name}.adapter" if out.is_dir() else out
    digest = write_adapter(target, base=manifest.id, base_name=manifest.name, matrices=matrices)
    return Converted(
        file=str(target),
        digest=digest,
        base=manifest.id,
        base_name=manifest.name,
        rank=max(values.shape[1] for name, values in matrices.items() if name.endswith(".a")),
        modules=tuple(sorted({name.split(".")[1] for name in matrices})),
        bytes=target.stat().st_size,
    )


def _read_config(directory: Path) -> _Lora:
    path = directory / CONFIG_FILE
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ValueError(f"it is larger than {CONFIG_BYTES_MAX} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(
            f"{CONFIG_FILE} cannot be read ({error})", directory, "what PEFT's save_pretrained wrote"
        ) from error
    if not isinstance(raw, dict) or raw.get("peft_type") != "LORA":
        kind = str(raw.get("peft_type"))[:40] if isinstance(raw, dict) else "no object"
        raise _refused(f"it is {kind}, not LoRA", directory, 'peft_type "LORA"')
    if why := next((why for field, why in _OTHERWISE.items() if raw.get(field)), None):
        raise _refused(why, directory, "plain LoRA")
    if raw.get("bias", "none") != "none" or raw.get("fan_in_fan_out"):
        raise _refused("it changes biases, or is of a model with transposed matrices", directory, 'bias "none"')
    if raw.get("layer_replication"):
        raise _refused("it repeats layers of its base", directory, "the layers of the base")
    rank = _number(raw.get("r"), "r", directory)
    if rank != int(rank):
        raise _refused(f"r is {rank}", directory, "a whole number")
    ranks = {name: int(value) for name, value in _pattern(raw, "rank_pattern", directory).items()}
    alphas = _pattern(raw, "alpha_pattern", directory)
    alpha = _number(raw.get("lora_alpha"), "lora_alpha", directory)
    return _Lora(int(rank), alpha, ranks, alphas, bool(raw.get("use_rslora")))


def _matrices(directory: Path, lora: _Lora) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The matrices as a device's file has them: a is A transposed, b is B transposed and scaled."""
    found = read_header(directory / WEIGHTS_FILE)
    pairs: dict[tuple[str, str], dict[str, Stored]] = {}
    for name, stored in found.items():
        named = _TENSOR.fullmatch(name)
        if named is None or len(stored.shape) != 2:
            raise _refused(f"{name[:80]!r} is no matrix of a layer's module", directory, "lora_A and lora_B of layers")
        pairs.setdefault((named[1], named[2]), {})[named[3]] = stored
    for (layer, module), pair in pairs.items():
        if len(pair) != 2 or pair["A"].shape[0] != pair["B"].shape[1]:
            raise _refused(
                f"{module} of layer {layer} has no two matrices that fit", directory, "A [r, in], B [out, r]"
            )
        name, rank = f"{layer}.{module}", pair["A"].shape[0]
        told = int(_of_pattern(lora.rank_pattern, name, lora.rank))
        if rank != told:
            raise _refused(f"{name} has rank {rank}, {CONFIG_FILE} says {told}", directory, "both to agree")
        yield f"{int(layer)}.{module}.a", _values(pair["A"], directory).T
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = _values(pair["B"], directory).T * np.float32(lora.scale(name, rank))
        if not np.isfinite(scaled).all():
            raise _refused(f"{name} with its scale has values beyond float32", directory, "a smaller lora_alpha")
        yield f"{int(layer)}.{module}.b", scaled


def _of_pattern(pattern: dict[str, Any], name: str, otherwise: float) -> float:
    """PEFT's rule: the first key that is, or ends, the module's path."""
    layer, module = name.split(".")
    part = "mlp" if module in ("gate_proj", "up_proj", "down_proj") else "self_attn"
    path = f"model.layers.{layer}.{part}.{module}"
    for key, value in pattern.items():
        if re.fullmatch(rf"(?:.*\.)?{re.escape(key.removeprefix('^'))}", path):
            return float(value)
    return otherwise


def _values(stored: Stored, directory: Path) -> NDArray[np.float32]:
    with stored.file.open("rb") as file:
        file.seek(stored.begin)
        raw = file.read(stored.end - stored.begin)
    if stored.dtype == "BF16":
        values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif stored.dtype in ("F16", "F32", "F64"):
        values = np.frombuffer(raw, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[stored.dtype]).astype(np.float32)
    else:
        raise _refused(f"its values are {stored.dtype[:12]}", directory, "float32, float16 or bfloat16")
    if not np.isfinite(values).all():
        raise _refused("it holds a value that is not finite", directory, "finite numbers")
    return values.reshape(stored.shape)


def _check_fit(matrices: dict[str, NDArray[np.float32]], base: Path, manifest: Manifest) -> None:
    """Whether the base's graph takes it. Raises AdapterUnfitError, ManifestError."""
    graphs = [name for name in manifest.files if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise _refused(f"{base} is no edge model", base, "a model directory with one ONNX graph")
    shape = DecoderGraph.load(base / graphs[0]).shape
    header = AdapterHeader(manifest.id, manifest.name, ())
    Adapter.fit(AdapterFile(header, matrices, ""), shape.adapter, shape.layers, str(base))


def _pattern(raw: dict[str, Any], field: str, directory: Path) -> dict[str, float]:
    given = raw.get(field) or {}
    if not isinstance(given, dict):
        raise _refused(f"{field} is no object", directory, "module names with numbers")
    return {name: _number(value, field, directory) for name, value in given.items()}


def _number(value: Any, field: str, directory: Path) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise _refused(f"{field} is {str(value)[:40]}", directory, "a number above 0")
    return float(value)


def _refused(why: str, where: Path, expected: str) -> PeftAdapterError:
    return PeftAdapterError(
        f"The adapter cannot be used: {why}",
        where=str(where),
        expected=expected,
        remedy="train a plain LoRA of the base's layers with PEFT, and save it with save_pretrained",
    )
