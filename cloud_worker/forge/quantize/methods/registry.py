"""The registry: one row for each method, in the order of the table. A new method is one file and one row here."""

from __future__ import annotations

from typing import Final

from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.options import BuilderOptions
from cloud_worker.forge.quantize.methods.base import Granularity, QuantizationMethod
from cloud_worker.forge.quantize.methods.block import ATTENTION_AND_HEAD, BlockWeights
from cloud_worker.forge.quantize.methods.builder_int4 import BuilderInt4
from cloud_worker.forge.quantize.methods.channel_int4 import ChannelInt4
from cloud_worker.forge.quantize.methods.dynamic_int8 import DynamicInt8
from cloud_worker.forge.quantize.methods.float32 import Float32
from cloud_worker.forge.quantize.methods.impossible import Impossible
from cloud_worker.forge.quantize.methods.kquant import KQuant
from cloud_worker.forge.quantize.methods.static_int8 import RANGES, StaticInt8

BASELINE: Final = "fp32"
_TENSOR, _CHANNEL = Granularity.TENSOR, Granularity.CHANNEL
_INT4_ACTIVATIONS: Final = "ONNX Runtime has no CPU kernel for int4 activations"

METHODS: Final[tuple[QuantizationMethod, ...]] = (
    Float32(),
    *(DynamicInt8(granularity=one, symmetric=same) for one in (_TENSOR, _CHANNEL) for same in (True, False)),
    *(StaticInt8(granularity=_TENSOR, ranges=ranges) for ranges in RANGES),
    *(StaticInt8(granularity=_CHANNEL, ranges=ranges) for ranges in RANGES),
    StaticInt8(granularity=_CHANNEL, ranges="mse", symmetric=True),
    *(BlockWeights(bits=8, block=block) for block in (32, 64, 128)),
    BlockWeights(bits=8, block=32, symmetric=False),
    *(BlockWeights(bits=4, block=block) for block in (32, 64, 128)),
    *(BlockWeights(bits=4, block=block, symmetric=False) for block in (32, 64, 128)),
    *(BlockWeights(bits=4, block=block, kept8=ATTENTION_AND_HEAD) for block in (32, 64, 128)),
    BlockWeights(bits=4, block=32, accuracy_level=0),
    KQuant(),
    KQuant(kept8=ATTENTION_AND_HEAD),
    ChannelInt4(),
    BuilderInt4(name="int4-builder-block64", options=BuilderOptions(precision="int4", block=64)),
    BuilderInt4(
        name="int4-builder-mixed",
        options=BuilderOptions(precision="int4", block=32, symmetric=False, algorithm="k_quant_mixed"),
    ),
    Impossible(name="int4-tensor", reason="no quantizer here writes one int4 scale for a whole matrix"),
    Impossible(name="int4-dynamic", reason=_INT4_ACTIVATIONS),
    Impossible(name="int4-static", reason=_INT4_ACTIVATIONS, static=True),
    Impossible(
        name="int8-torchao",
        bits=8,
        reason="torchao works on torch modules; its ONNX export widens the weights to float again",
        granularity=_CHANNEL,
    ),
)


def method(name: str) -> QuantizationMethod:
    """The method of that name. Raises CombinationRefusedError listing all names."""
    for found in METHODS:
        if found.name == name:
            return found
    raise CombinationRefusedError(
        f"There is no quantization method {name[:64]!r}",
        where="method",
        expected=", ".join(found.name for found in METHODS),
        remedy="choose one of these",
    )
