"""A decoder graph as the examination wants it: greedy replies and views of given replies."""

from __future__ import annotations

from collections.abc import Sequence

from cloud_worker.forge.evaluate.one_by_one import OneByOne
from cloud_worker.forge.quantize.decoder import GraphDecoder, Logits


class Examinee(OneByOne):
    """A GraphDecoder as a Decoder."""

    def __init__(self, decoder: GraphDecoder, end: int) -> None:
        super().__init__(end, decoder.capacity)
        self._decoder = decoder

    def begin(self) -> None:
        """See OneByOne."""
        self._decoder.rewind()

    def feed(self, ids: Sequence[int]) -> Logits:
        """See OneByOne."""
        row: Logits = self._decoder.forward(ids)[-1]
        return row
