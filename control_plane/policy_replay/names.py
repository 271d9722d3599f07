"""A column of names, such as rules or digests: each kept once, and counted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Names:
    """A column of names: `codes`, shape (rows,), count in `words`, which are distinct."""

    words: tuple[str, ...]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, values: Sequence[str]) -> Names:
        """In the order of first appearance."""
        codes: dict[str, int] = {}
        data = np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int32, len(values))
        return cls(tuple(codes), data)
