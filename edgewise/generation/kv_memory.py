"""The one formula for the memory of a key-value cache: 2 · L · H_kv · S · D · bytes, with scales where it is quantized.

Everything that tells or plans KV memory asks here; allocating it is the runtimes' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class KvElement:
    """How one value of a cache is kept: `bits` each, and `scale_bytes` for every `group` values of a head's row.

    A group of 0 is the whole row of one head (head_dim values). Without scale_bytes there are no scales.
    """

    bits: int
    scale_bytes: int = 0
    group: int = 0

    def row_bytes(self, head_dim: int) -> int:
        """Bytes of one head's key, or value, of one token; a last odd nibble takes a whole byte."""
        groups = -(-head_dim // (self.group or head_dim)) if self.scale_bytes else 0
        return -(-head_dim * self.bits // 8) + groups * self.scale_bytes


KV_ELEMENTS: Final[dict[str, KvElement]] = {
    "float32": KvElement(32),
    "float16": KvElement(16),
    "bfloat16": KvElement(16),
    "int8": KvElement(8, scale_bytes=2),
    "int4": KvElement(4, scale_bytes=2),
}
"""Known kinds of cache. The integer ones are symmetric, with a float16 scale for each head's row."""


def kv_bytes(*, layers: int, kv_heads: int, tokens: int, head_dim: int, element: KvElement) -> int:
    """Bytes of keys and values of `tokens` tokens: 2 · L · H_kv · S · D · bytes per element (Pope et al., 2022).

    Raises ValueError for a negative number of tokens or a size below one.
    """
    if tokens < 0 or min(layers, kv_heads, head_dim, element.bits) < 1:
        raise ValueError(f"kv_bytes: sizes {layers}, {kv_heads}, {head_dim} start at 1 and tokens {tokens} at 0")
    return 2 * layers * kv_heads * tokens * element.row_bytes(head_dim)
