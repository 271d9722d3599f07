"""What an examination asks of a model in any runtime: greedy replies, and its view of a reply that it is given.

Torch answers in batches (torch_batch.py), every other runtime one by one (one_by_one.py, onnx_rows.py). decoding.py has
the plain loops that they are tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgewise.wire.manifest import load_manifest

Advance = Callable[[int], None]


def no_progress(count: int) -> None:
    """Tells nobody that `count` more prompts are done."""


@dataclass(frozen=True, slots=True)
class Said:
    """A greedy reply: ids without the end token; the log-probability of each, then of the end token when it `ended`."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class Forced:
    """A model's view of a given reply with the end token behind it, position by position.

    `best` is what the model itself would have said there, `logprobs` what it gives to the given id (natural logarithm).
    """

    best: tuple[int, ...]
    logprobs: tuple[float, ...]


class Decoder(Protocol):
    """A model that can be examined. Results come in the order of the prompts."""

    @property
    def end(self) -> int:
        """The id that ends a reply."""
        ...

    @property
    def context_tokens(self) -> int:
        """The most tokens of a prompt with its reply and end token; longer ones must not be given."""
        ...

    def complete(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], advance: Advance = no_progress
    ) -> list[Said]:
        """Greedy replies; at most `limits[i]` ids after prompt i. `advance(n)` is told of every n that are done."""
        ...

    def force(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
    ) -> list[Forced]:
        """The model's view of each reply (given without end token) after its prompt."""
        ...


def open_decoder(directory: Path) -> Decoder:
    """The model of a directory in the runtime of its format: `onnx` in ONNX Runtime, anything else in torch, float32.

    Raises ModelMissingError, ManifestError, ModelDigestError, ModelFileError.
    """
    manifest = load_manifest(directory)
    if manifest.format == "onnx":
        from cloud_worker.forge.evaluate.onnx_rows import open_rows

        return open_rows(directory, manifest.eos_ids[0], manifest.context_tokens)
    from cloud_worker.forge.evaluate.torch_batch import BatchGreedy
    from cloud_worker.forge.qwen2 import Qwen2

    return BatchGreedy(Qwen2.load(directory), manifest.eos_ids[0])
