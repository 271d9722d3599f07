"""Low-rank adapters on a graph: the inputs that it has for them, and one adapter's values, ready to be bound to these.

    y = W x      becomes      y = W x + (x a) b          adapter.L.SITE.a [inputs, rank], .b [rank, outputs]

A site is a matrix that the graph stores; it may join several modules (q, k and v), each with ranks of its own:
a = [a_q a_k a_v], b = b_q, b_k and b_v down the diagonal. Without an adapter the rank is 0. (docs/adr/0036)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from numpy.typing import NDArray

from edgewise.graphs.adapter_file import AdapterFile, Matrices, unfit

ADAPTER_KEY: Final = "edgewise.adapter"
RANK_TILE: Final = 8
"""Ranks of a site are filled up with zeros to a multiple of this: kernels for a single column go another way."""
RANK_MAX: Final = 1024

_Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}$")]


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stored matrix: its inputs, and the outputs of each module in it, in order."""

    inputs: _Size
    modules: tuple[tuple[_Name, _Size], ...]

    @property
    def outputs(self) -> int:
        return sum(width for _, width in self.modules)


class AdapterShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a graph takes: the largest rank of a module, and its sites, the same in every layer."""

    rank: Annotated[int, msgspec.Meta(ge=1, le=RANK_MAX)]
    sites: dict[_Name, Site]

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of all modules that may be adapted."""
        return tuple(module for site in self.sites.values() for module, _ in site.modules)

    def said(self) -> str:
        """As it stands in the graph's properties."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def read(cls, text: str) -> AdapterShape:
        """The same back. Raises ValueError (msgspec.ValidationError is one)."""
        return msgspec.json.decode(text.encode(), type=cls)


def input_names(layer: int, site: str) -> tuple[str, str]:
    """The graph's inputs of one site."""
    return f"adapter.{layer}.{site}.a", f"adapter.{layer}.{site}.b"


@dataclass(frozen=True, eq=False)
class Adapter:
    """Values of every adapter input of one graph, by name. `digest` is that of its file; empty: none is in use."""

    digest: str
    values: dict[str, NDArray[np.float32]]

    @cached_property
    def bound(self) -> dict[str, Any]:
        """The same as OrtValues: views of the arrays, shared by all rows."""
        return {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in self.values.items()}

    @property
    def size_bytes(self) -> int:
        """Memory of the values."""
        return sum({id(array): array.nbytes for array in self.values.values()}.values())

    @classmethod
    def none(cls, shape: AdapterShape | None, layers: int) -> Adapter:
        """No adapter: rank 0 everywhere; nothing at all for a graph without such inputs."""
        return cls("", _everywhere(shape, layers, lambda rows, columns: np.zeros((rows, columns), np.float32), rank=0))

    @classmethod
    def sample(cls, shape: AdapterShape, layers: int) -> Adapter:
        """Fixed noise of the largest rank, the same in every layer: what a machine's kernels are tried with."""
        noise = np.random.default_rng(36)

        def draw(rows: int, columns: int) -> NDArray[np.float32]:
            return np.asarray(noise.standard_normal((rows, columns)) * rows**-0.5, np.float32)

        return cls("sample", _everywhere(shape, layers, draw, rank=shape.rank))

    @classmethod
    def fit(cls, file: AdapterFile, shape: AdapterShape | None, layers: int, where: str = "adapter") -> Adapter:
        """The values of a file for a graph. Raises AdapterUnfitError for what the graph has no inputs for."""
        if shape is None:
            raise unfit("the graph has no inputs for adapters", where, "a model exported with --adapter-rank")
        values = cls.none(shape, layers).values
        known = set[str]()
        for layer in range(layers):
            for name, site in shape.sites.items():
                pairs = {module: _pair(file.matrices, f"{layer}.{module}", where) for module, _ in site.modules}
                known.update(f"{layer}.{module}.{part}" for module, pair in pairs.items() if pair for part in "ab")
                if any(pairs.values()):
                    a, b = input_names(layer, name)
                    values[a], values[b] = _site(site, pairs, shape.rank, f"{where}, layer {layer}")
        if odd := sorted(set(file.matrices) - known):
            takes = f"layers 0 to {layers - 1}, {', '.join(shape.modules)}"
            raise unfit(f"it adapts {odd[0][:80]!r}", where, takes)
        return cls(file.digest, values)


_Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def _pair(matrices: Matrices, name: str, where: str) -> _Pair | None:
    a, b = matrices.get(f"{name}.a"), matrices.get(f"{name}.b")
    if (a is None) != (b is None):
        raise unfit(f"{name} has only one of its two matrices", where, "a and b")
    return None if a is None or b is None else (a, b)


def _site(site: Site, pairs: dict[str, _Pair | None], most: int, where: str) -> _Pair:
    """Both matrices of a site. Modules that are not adapted take no rank. Nothing is allocated before all fit."""
    ranks = {module: _rank(site, module, width, pairs[module], most, where) for module, width in site.modules}
    total = -(-sum(ranks.values()) // RANK_TILE) * RANK_TILE
    left = np.zeros((site.inputs, total), np.float32)
    right = np.zeros((total, site.outputs), np.float32)
    column = at = 0
    for module, width in site.modules:
        if pair := pairs[module]:
            rank = ranks[module]
            left[:, at : at + rank], right[at : at + rank, column : column + width] = pair
            at += rank
        column += width
    return left, right


def _rank(site: Site, module: str, width: int, pair: _Pair | None, most: int, where: str) -> int:
    """The rank of a module's pair, 0 for none. Raises AdapterUnfitError."""
    if pair is None:
        return 0
    a, b = pair
    rank = int(a.shape[1])
    if a.shape != (site.inputs, rank) or b.shape != (rank, width) or rank > most:
        expected = f"a [{site.inputs}, r], b [r, {width}], r at most {most}"
        raise unfit(f"{module} is {a.shape} and {b.shape}", where, expected)
    return rank


def _everywhere(
    shape: AdapterShape | None, layers: int, make: Callable[[int, int], NDArray[np.float32]], *, rank: int
) -> dict[str, NDArray[np.float32]]:
    """One pair of matrices for each site, shared by all layers."""
    found: dict[str, NDArray[np.float32]] = {}
    for name, site in shape.sites.items() if shape else ():
        wide = rank * len(site.modules)
        a, b = make(site.inputs, wide), make(wide, site.outputs)
        for left, right in _inputs(layers, name):
            found[left], found[right] = a, b
    return found


def _inputs(layers: int, site: str) -> Iterator[tuple[str, str]]:
    return (input_names(layer, site) for layer in range(layers))
