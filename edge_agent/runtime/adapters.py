"""Which low-rank adapters a loaded model has at this moment, by name, and which one a generation runs under.

The state decides, never what is loaded last: a version `BASE+DIGEST` where the answer has begun, the named model
`MODEL:NAME` where it has not, else the bare model. Switching adapters is switching which name a new state carries.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgewise.generation.state import GenerationState
from edgewise.graphs import Adapter, DecoderGraph
from edgewise.graphs.adapter_file import AdapterBaseError, read_adapter
from edgewise.wire.errors import EdgewiseError, TierRefusedError, UnknownModelError
from edgewise.wire.manifest import Manifest

NAME_MARK: Final = ":"
VERSION_MARK: Final = "+"
DIGEST_CHARS: Final = 16
logger = logging.getLogger(__name__)


class Adapters:
    """The adapters of one loaded model. Safe in every thread: a change replaces the whole table.

    `read` may take a second (it reads and checks a file); what runs goes on meanwhile.
    """

    def __init__(self, manifest: Manifest, graph: DecoderGraph) -> None:
        self._base = manifest.id
        self._model = manifest.name
        self._graph = graph
        self._named: Mapping[str, Adapter] = {}
        self._changing = threading.Lock()

    @property
    def versions(self) -> dict[str, str]:
        """The model version under each adapter's name."""
        return {name: self._version(adapter) for name, adapter in self._named.items()}

    def read(self, name: str, path: Path) -> Adapter:
        """The adapter of a file, which nothing is generated with yet; one that is served already is that one.

        Raises AdapterFileError, AdapterBaseError, AdapterUnfitError, MemoryError.
        """
        file = read_adapter(path)
        if file.header.base != self._base:
            raise AdapterBaseError(
                f"The adapter {name} was made for {file.header.base_name}, version {file.header.base[:12]}…",
                where=str(path),
                expected=f"one for {self._model}, version {self._base[:12]}…",
                remedy="make it for this model: edgewise model adapter DIR --base MODEL --out FILE",
            )
        shape = self._graph.shape
        return self._served(file.digest) or Adapter.fit(file, shape.adapter, shape.layers, str(path))

    def put(self, name: str, adapter: Adapter | None) -> Adapter | None:
        """Serve `adapter` under `name` from now on, None: nothing. What had the name, where no other name has it.

        Answers that have begun keep theirs. The engine's `put_adapter` frees what the one before takes, too.
        """
        with self._changing:
            left = dict(self._named)
            gone = left.pop(name, None)
            if adapter is not None:
                left[name] = self._served(adapter.digest) or adapter
                logger.info("adapter %s: version %s", name, self._version(adapter))
            self._named = left
        return gone if gone is not None and self.forgot(gone) else None

    def load_all(self, files: Mapping[str, Path]) -> None:
        """Put what can be read, before anything runs: a model serves without an adapter that cannot, and the log says
        why."""
        for name, path in files.items():
            try:
                self.put(name, self.read(name, path))
            except (EdgewiseError, MemoryError) as error:
                logger.error("the adapter %s is not served: %s", name, _told(error))

    def changed(self, files: Mapping[str, Path]) -> dict[str, Adapter]:
        """What these files hold that their names do not mean yet, to be put.

        One that cannot be used is logged, and what has its name keeps it.
        """
        found = {}
        for name, path in files.items():
            try:
                adapter = self.read(name, path)
            except (EdgewiseError, MemoryError) as error:
                logger.error("the adapter %s is not exchanged: %s", name, _told(error))
            else:
                if self._named.get(name) is not adapter:
                    found[name] = adapter
        return found

    def forgot(self, adapter: Adapter) -> bool:
        """Whether this one is no longer served under any name."""
        return bool(adapter.digest) and self._served(adapter.digest) is None

    def _served(self, digest: str) -> Adapter | None:
        return next((known for known in self._named.values() if known.digest == digest), None)

    def of(self, state: GenerationState) -> Adapter:
        """What this state is generated with.

        Raises UnknownModelError for a name that nothing has, TierRefusedError for an answer that was begun under an
        adapter that is not here: another one would go on in another voice.
        """
        base, _, digest = state.model_version.partition(VERSION_MARK)
        prefix = f"{self._model}{NAME_MARK}"
        if base == self._base and digest:
            return self._begun(digest)
        if not state.model.startswith(prefix) or (base == self._base and state.output_ids):
            return self._graph.bare
        name = state.model.removeprefix(prefix)
        if name not in self._named:
            raise UnknownModelError(
                f"There is no adapter {name[:80]!r} for {self._model} on this device",
                where="model",
                expected=", ".join([self._model, *(f"{self._model}{NAME_MARK}{known}" for known in self._named)]),
                remedy="ask GET /v1/models, or start the agent with --adapter NAME=FILE",
            )
        return self._named[name]

    def _begun(self, digest: str) -> Adapter:
        for adapter in self._named.values():
            if adapter.digest[:DIGEST_CHARS] == digest:
                return adapter
        raise TierRefusedError(
            f"This answer was begun under the adapter {digest[:DIGEST_CHARS]}…, which is not loaded",
            where="edge engine",
            expected="the adapter that began it",
            remedy="load that adapter again, or ask again",
        )

    def _version(self, adapter: Adapter) -> str:
        return f"{self._base}{VERSION_MARK}{adapter.digest[:DIGEST_CHARS]}"


def _told(error: Exception) -> str:
    return str(error) or "there is no memory for it"


def salted(salt: bytes, adapter: Adapter) -> bytes:
    """What contexts are kept apart by: owners, and under an adapter its digest. No adapter changes no name."""
    if not adapter.digest:
        return salt
    return hashlib.blake2b(adapter.digest.encode(), key=salt, digest_size=32).digest()
