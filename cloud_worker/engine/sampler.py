"""The torch twin of edgewise.generation.sampling: the same token to the bit, without leaving the device.

The NumPy module is the definition; this one repeats its steps with torch's operations and its tables.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgewise.generation import fixed_point as fp
from edgewise.generation import noise
from edgewise.generation.penalties import changed_scores, touched_ids
from edgewise.generation.sampling import (
    EXPONENT_SCALE,
    LARGEST_GAP,
    MASS_GAPS,
    bad_logits,
    mass_target,
    weight_floor,
)
from edgewise.generation.state import GenerationState, Sampling


def next_token(logits: Tensor, state: GenerationState) -> int:
    """The id that follows `state.output_ids`, from `logits` [V] of any float dtype. Raises LogitsError."""
    if logits.ndim != 1 or not logits.numel() or not bool(torch.isfinite(logits).all()):
        raise bad_logits(logits.shape)
    scores = _adjusted_scores(logits, state)
    if state.sampling.temperature == 0:
        return int(scores.argmax())
    gaps = (scores.max() - scores) / state.sampling.temperature
    ids = _kept_ids(gaps, state.sampling)
    drawn = gumbel(state.seed, state.choice, len(state.output_ids), ids) - gaps[ids]
    return int(ids[drawn.argmax()])


def gumbel(seed: int, choice: int, index: int, token_ids: Tensor) -> Tensor:
    """Standard Gumbel noise of `token_ids` (int64 [n]); float64 [n], the bits of `edgewise.generation.noise.Noise`."""
    number = (token_ids + 1) * _signed(noise.GOLDEN) + _signed(noise.noise_key(seed, choice, index))
    number = _mixed(number, noise.MIX_SHIFTS[0]) * _signed(noise.MIX_FIRST)
    number = _mixed(number, noise.MIX_SHIFTS[1]) * _signed(noise.MIX_SECOND)
    number = _mixed(number, noise.MIX_SHIFTS[2])
    uniform = _shifted(number, 64 - noise.UNIFORM_BITS)
    surprise = ((noise.UNIFORM_BITS + 1) << fp.LOG2_BITS) - log2_fixed(2 * uniform + 1)
    minus_log2 = (fp.LOG2_BITS << fp.LOG2_BITS) - noise.LOG2_LN2 - log2_fixed(surprise)
    scaled = (minus_log2 >> (fp.LOG2_BITS - noise.SCALED_BITS)) * noise.LN2
    return (scaled >> (noise.SCALED_BITS + noise.LN2_BITS - noise.NOISE_BITS)).double() / (1 << noise.NOISE_BITS)


def log2_fixed(numbers: Tensor) -> Tensor:
    """`fixed_point.log2_fixed` for an int64 tensor."""
    bits = numbers.double().view(torch.int64)
    mantissa = bits & ((1 << fp.MANTISSA_BITS) - 1)
    index = mantissa >> (fp.MANTISSA_BITS - fp.INDEX_BITS)
    rest = (mantissa >> (fp.MANTISSA_BITS - fp.INDEX_BITS - fp.LOG2_REST_BITS)) & ((1 << fp.LOG2_REST_BITS) - 1)
    table, steps = _tables("log2", numbers.device)
    whole = (bits >> fp.MANTISSA_BITS) - fp.EXPONENT_BIAS
    return (whole << fp.LOG2_BITS) + table[index] + ((steps[index] * rest) >> fp.LOG2_REST_BITS)


def exp2_fixed(exponents: Tensor) -> Tensor:
    """`fixed_point.exp2_fixed` for an int64 tensor."""
    fraction = exponents & ((1 << fp.EXP2_IN_BITS) - 1)
    index = fraction >> fp.EXP2_REST_BITS
    rest = fraction & ((1 << fp.EXP2_REST_BITS) - 1)
    table, steps = _tables("exp2", exponents.device)
    mantissa = table[index] + ((steps[index] * rest) >> fp.EXP2_REST_BITS)
    return mantissa >> (exponents >> fp.EXP2_IN_BITS).clamp(max=63)


_ON_DEVICE: dict[tuple[str, torch.device], tuple[Tensor, Tensor]] = {}


def _tables(name: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """A table and its steps on `device`, copied there once."""
    key = (name, device)
    if key not in _ON_DEVICE:
        pair = (fp.LOG2_TABLE, fp.LOG2_STEPS) if name == "log2" else (fp.EXP2_TABLE, fp.EXP2_STEPS)
        _ON_DEVICE[key] = (torch.from_numpy(pair[0]).to(device), torch.from_numpy(pair[1]).to(device))
    return _ON_DEVICE[key]


def _signed(number: int) -> int:
    """The int64 with the same 64 bits (torch's multiplication wraps, so signedness does not matter)."""
    number &= noise.MASK64
    return number - (1 << 64) if number >> 63 else number


def _shifted(number: Tensor, bits: int) -> Tensor:
    """Right shift as if unsigned."""
    return (number >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(number: Tensor, bits: int) -> Tensor:
    return number ^ _shifted(number, bits)


def _adjusted_scores(logits: Tensor, state: GenerationState) -> Tensor:
    scores = logits.double()
    touched = touched_ids(state)
    if len(touched):
        scores = scores.clone() if scores is logits else scores
        ids = torch.from_numpy(touched).to(scores.device)
        changed = changed_scores(scores[ids].cpu().numpy(), touched, state)
        scores[ids] = torch.from_numpy(changed).to(scores.device)
    return scores


def _kept_ids(gaps: Tensor, sampling: Sampling) -> Tensor:
    ids = torch.arange(len(gaps), device=gaps.device)
    if 0 < sampling.top_k < len(gaps):
        ids = _top_k(gaps, sampling.top_k)
    if sampling.top_p < 1:
        ids = _top_p(gaps, ids, sampling.top_p)
    if sampling.min_p > 0:
        ids = ids[_weights(gaps[ids]) >= weight_floor(sampling.min_p)]
    return ids


def _weights(gaps: Tensor) -> Tensor:
    return exp2_fixed((gaps.clamp(max=LARGEST_GAP) * EXPONENT_SCALE).long())


def _top_k(gaps: Tensor, k: int) -> Tensor:
    edge = gaps.kthvalue(k).values
    surely, tied = (gaps < edge).nonzero()[:, 0], (gaps == edge).nonzero()[:, 0]
    return torch.cat((surely, tied[: k - len(surely)])).sort().values


def _top_p(gaps: Tensor, ids: Tensor, top_p: float) -> Tensor:
    within = gaps[ids]
    mass = _weights(within)
    target = mass_target(int(mass.sum()), top_p)
    near = _nearest_with(within, mass, target)
    order = near[within[near].argsort(stable=True)]
    length = int(torch.searchsorted(mass[order].cumsum(0), target)) + 1
    return ids[order[:length].sort().values]


def _nearest_with(gaps: Tensor, mass: Tensor, target: int) -> Tensor:
    for limit in (*MASS_GAPS, math.inf):
        near = (gaps <= limit).nonzero()[:, 0]
        if int(mass[near].sum()) >= target:
            break
    return near
