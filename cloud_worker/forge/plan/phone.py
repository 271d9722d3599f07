"""`edgewise plan phone`: whether a model fits a small device, in MB of 10⁶ bytes, with nothing left out.

Weights are counted with their scales; the operating system and the apps beside ours are an assumption with a flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.plan.inputs import known, not_negative, positive, refuse
from cloud_worker.forge.plan.kv import KvShape, bytes_per_token
from cloud_worker.forge.plan.weights import PRECISIONS, weight_bytes
from edgewise.generation.kv_memory import KV_ELEMENTS

MB: Final = 1_000_000
SYSTEM_MB: Final = 1500.0
RUNTIME_MB: Final = 100.0


@dataclass(frozen=True, kw_only=True)
class Phone:
    """A device and what is kept free on it: a phone of 4 GB unless told otherwise. All in MB."""

    device_mb: float = 4000.0
    peak_mb: float = 3800.0
    system_mb: float = SYSTEM_MB
    runtime_mb: float = RUNTIME_MB
    kv_mb: float = 256.0
    activations_mb: float = 128.0


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What lies in memory: values of the layers and of embedding and head, each with a precision, and the shape of
    the cache where it is known."""

    parameters: int
    precision: str = "int4"
    ends_parameters: int = 0
    ends_precision: str = "int4"
    kv: KvShape | None = None
    kv_element: str = "float16"

    @classmethod
    def of(cls, sizes: ModelSizes, precision: str, ends_precision: str, kv_element: str) -> Weights:
        """Those of a model."""
        ends = sizes.embedding_parameters * (1 if sizes.tie_word_embeddings else 2)
        return cls(
            parameters=sizes.parameters - ends,
            precision=precision,
            ends_parameters=ends,
            ends_precision=ends_precision,
            kv=KvShape.of(sizes),
            kv_element=kv_element,
        )


@dataclass(frozen=True, kw_only=True)
class PhonePlan:
    """The bill of memory in MB; `peak_mb` is the whole device's. `kv_tokens` is what the cache's room holds."""

    bits_mb: float
    scales_mb: float
    kv_mb: float
    activations_mb: float
    runtime_mb: float
    system_mb: float
    peak_mb: float
    limit_mb: float
    left_mb: float
    fits: bool
    kv_tokens: int | None
    two_bit_mb: float
    note: str


def plan_phone(weights: Weights, phone: Phone) -> PhonePlan:
    """The bill. Raises PlanInputError."""
    _check(weights, phone)
    bits, whole = _bits_bytes(weights), _whole_bytes(weights)
    others = phone.kv_mb + phone.activations_mb + phone.runtime_mb + phone.system_mb
    peak = whole / MB + others
    return PhonePlan(
        bits_mb=bits / MB,
        scales_mb=(whole - bits) / MB,
        kv_mb=phone.kv_mb,
        activations_mb=phone.activations_mb,
        runtime_mb=phone.runtime_mb,
        system_mb=phone.system_mb,
        peak_mb=peak,
        limit_mb=phone.peak_mb,
        left_mb=phone.peak_mb - peak,
        fits=peak < phone.peak_mb,
        kv_tokens=_tokens(weights, phone),
        two_bit_mb=_total(weights) * 2 / 8 / MB,
        note=_note(weights),
    )


def _total(weights: Weights) -> int:
    return weights.parameters + weights.ends_parameters


def _bits_bytes(weights: Weights) -> int:
    layers = weights.parameters * PRECISIONS[weights.precision]
    ends = weights.ends_parameters * PRECISIONS[weights.ends_precision]
    return -(-(layers + ends) // 8)


def _whole_bytes(weights: Weights) -> int:
    layers = weight_bytes(weights.parameters, PRECISIONS[weights.precision])
    return layers + weight_bytes(weights.ends_parameters, PRECISIONS[weights.ends_precision])


def _tokens(weights: Weights, phone: Phone) -> int | None:
    if weights.kv is None:
        return None
    return int(phone.kv_mb * MB) // bytes_per_token(weights.kv, weights.kv_element)


def _note(weights: Weights) -> str:
    total = _total(weights)
    four, two = total / 2 / MB, total / 4 / MB
    return (
        f"4 bits are half a byte: {total:,} weights at int4 are {four:,.4g} MB before their scales; "
        f"{two:,.4g} MB would be 2-bit weights, whoever calls it int4."
    )


def _check(weights: Weights, phone: Phone) -> None:
    positive(weights.parameters, "parameters")
    not_negative(weights.ends_parameters, "parameters")
    for name, where in ((weights.precision, "precision"), (weights.ends_precision, "ends precision")):
        known(name, PRECISIONS, where)
    known(weights.kv_element, KV_ELEMENTS, "kv element")
    for name in ("device_mb", "peak_mb"):
        positive(getattr(phone, name), name)
    for name in ("system_mb", "runtime_mb", "kv_mb", "activations_mb"):
        not_negative(getattr(phone, name), name)
    if phone.peak_mb > phone.device_mb:
        raise refuse("The peak is larger than the device's memory", "peak_mb", f"at most {phone.device_mb:g}")
