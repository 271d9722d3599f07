"""Opened: one model in memory with its driver, who uses it, and how it was opened. When that changes is models.py's."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from edge_agent.ladder.limits import Limits
from edge_agent.runtime import OnnxEngine
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.wire.errors import EdgewiseError, ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import Manifest, load_manifest

_GRAPH: Final = ".onnx"


@dataclass(frozen=True, slots=True)
class Wish:
    """A model: a directory that is no link, and the version in it (its manifest's id); an empty one is whatever is
    there."""

    directory: Path
    version: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """Which model is opened (see Wish), and how: the engine's threads."""

    directory: Path
    threads: int
    spinning: bool
    version: str = ""

    @property
    def wish(self) -> Wish:
        return Wish(self.directory, self.version)

    def within(self, limits: Limits) -> Manner:
        """The same with no more than the limits allow."""
        threads = self.threads if limits.threads is None else max(1, min(self.threads, limits.threads))
        return replace(self, threads=threads, spinning=self.spinning and limits.spinning)


OpenModel = Callable[[Manner], tuple[OnnxEngine, ChatTokenizer]]
"""Opens a model, in a thread. Raises ModelMissingError, ModelDigestError, ManifestError."""


Drive = Callable[[OnnxEngine, ChatTokenizer], EngineDriver]


class Opened:
    """A model that can answer. `users` counts the answers on it; `at_rest` is set while there are none."""

    def __init__(self, manner: Manner, engine: OnnxEngine, tokenizer: ChatTokenizer, driver: EngineDriver) -> None:
        self.manner = manner
        self.engine = engine
        self.tokenizer = tokenizer
        self.driver = driver
        self.users = 0
        self.at_rest = asyncio.Event()
        self.at_rest.set()

    @property
    def manifest(self) -> Manifest:
        return self.engine.manifest

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Count an answer while the block runs."""
        self.users += 1
        self.at_rest.clear()
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                self.at_rest.set()

    def obey(self, limits: Limits, throttle_tokens_per_s: float | None) -> None:
        """Pace at once, the rest before the engine's next step; running answers, too."""
        paces = (limits.tokens_per_s, throttle_tokens_per_s)
        self.driver.retune(min((pace for pace in paces if pace is not None), default=None))
        self.driver.run(partial(self.engine.obey, limits))

    async def close(self) -> bool:
        """End every answer with TierLostError, and let go of the memory; nothing can be asked of it afterwards. False
        where a step hangs: its thread keeps the memory."""
        ended = await self.driver.stop()
        if ended:
            self.engine.close()
        del self.engine, self.driver  # whoever closes it holds it still
        await asyncio.to_thread(give_memory_back)
        return ended

    def hand_on(self, successor: Opened) -> None:
        """Give up the contexts that no answer is using: to a model that makes the same rows; to others they are of no
        use."""
        if self.engine.contexts_of == successor.engine.contexts_of:
            self.driver.run(partial(_move, self.engine, successor.engine, successor.driver))
        else:
            self.driver.run(self.engine.hand_on)


def _move(engine: OnnxEngine, taker: OnnxEngine, its_driver: EngineDriver) -> None:
    """In the old engine's thread; the rows are taken in by the thread of the new one."""
    its_driver.run(partial(taker.take_over, engine.hand_on()))


def followed(pointer: Path) -> Path:
    """The directory that a link leads to, or that it is. Raises ModelMissingError."""
    try:
        return pointer.resolve()
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError
        raise ModelMissingError(
            f"The model directory cannot be looked up: {error}",
            where=str(pointer),
            expected="a model directory, or a link to one",
            remedy="mend the link, or its directory's rights",
        ) from error


def read_model(directory: Path, *, verify: bool) -> tuple[Manifest, ChatTokenizer]:
    """What is known of a model without loading it. Raises ModelMissingError, ManifestError, ModelDigestError."""
    manifest = load_manifest(directory, verify=verify)
    tokenizer = ChatTokenizer.load(directory)
    if manifest.tokenizer_digest not in {"", tokenizer.digest}:
        raise ModelDigestError(
            f"The tokenizer is not the one of model {manifest.name}",
            where=str(directory),
            expected=f"sha256 {manifest.tokenizer_digest[:12]}…, found {tokenizer.digest[:12]}…",
            remedy="copy the model directory again",
        )
    return manifest, tokenizer


def weights_bytes(manifest: Manifest) -> int:
    """Bytes of the graph and of the weights beside it: about what a loaded model takes."""
    return sum(entry.bytes for name, entry in manifest.files.items() if _GRAPH in name or name.startswith("tensors/"))


def give_memory_back() -> None:
    """After a model was closed: driver and thread know each other, so only the collector frees them, and the C library
    keeps what was freed until it is told."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # not every C library has it
            ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class Failed:
    """What could not be opened, how often it was tried again, and when it is the next time (the clock's seconds)."""

    wanted: Manner
    pauses: int
    again_at: float


async def opened(open_model: OpenModel, drive: Drive, manner: Manner) -> Opened:
    """A model that runs. Raises EdgewiseError, whatever went wrong."""
    try:
        engine, tokenizer = await asyncio.to_thread(open_model, manner)
        model = Opened(replace(manner, version=engine.manifest.id), engine, tokenizer, drive(engine, tokenizer))
        await model.driver.start()
    except EdgewiseError:
        raise
    except Exception as error:
        raise ManifestError(
            f"The model cannot be opened: {type(error).__name__}: {str(error)[:300]}",
            where=str(manner.directory),
            expected="a model of this version of the agent, and memory for it",
            remedy="copy the model directory again, or free memory",
        ) from error
    return model


def fault(error: Exception) -> EdgewiseError:
    return EdgewiseError(
        f"The model cannot be changed: {type(error).__name__}: {str(error)[:300]}", remedy="see the agent's log"
    )
