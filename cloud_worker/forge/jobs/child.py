"""`python -m cloud_worker.forge.jobs.child`: one body in a process of its own, which leaves its outcome on disk.

Standard input brings one line, the order, and stays open: when it ends, the parent is dead, and so must this process
and all that it started be. Standard output carries progress, one JSON line each; what libraries print goes to stderr.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from cloud_worker.forge.jobs.claim import Outcome, Told, failed
from cloud_worker.forge.jobs.kinds import Bench, BodyKind, load_kinds
from cloud_worker.forge.jobs.places import Places
from cloud_worker.forge.jobs.stages import Meter
from cloud_worker.forge.jobs.workspace import Workspace
from cloud_worker.forge.leashed import leash_of, watch
from edgewise.observability.config import log_format
from edgewise.observability.logs import configure
from edgewise.wire.errors import EdgewiseError
from edgewise.wire.forge_jobs import read_payload

logger = logging.getLogger(__name__)
QUIET_S = 0.1
MUCH = 0.01
_OURS = ("cloud_worker.", "edgewise.")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent wants done: a job's kind and payload, where, and with what."""

    kind: str
    payload: dict[str, Any]
    folder: str
    roots: tuple[str, ...]
    modules: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 1
    nice: int = 0


def carry_out(order: Order, send: Callable[[Told], None]) -> Outcome:
    """Run the body to its end; whatever it raises is an outcome too."""
    try:
        kind = load_kinds(order.modules)[order.kind]
        payload = _resolved(kind, read_payload(kind.name, kind.payload, order.payload), Places(_paths(order.roots)))
        bench = Bench(Path(order.folder), order.device, order.threads)
        result = kind.load()(payload, bench, Meter(kind.stages, send))
        return Outcome(result=msgspec.to_builtins(result))
    except EdgewiseError as error:
        return failed(str(error), retry=error.retryable)
    except Exception as error:
        logger.exception("the body broke")
        return failed(_words(error), retry=True)


def _resolved(kind: BodyKind, payload: msgspec.Struct, places: Places) -> msgspec.Struct:
    """The payload with paths in place of references; an empty file reference stays empty. Raises PlaceRefusedError."""
    models = {name: str(places.model(getattr(payload, name))) for name in kind.models}
    files = {name: str(places.file(named)) for name in kind.files if (named := getattr(payload, name))}
    return msgspec.structs.replace(payload, **models, **files)


def _words(error: Exception) -> str:
    """Our own sentences; of other errors only the kind, for their words may hold content."""
    is_ours = type(error).__module__.startswith(_OURS)
    return str(error) if is_ours else f"{type(error).__name__} in the job's body; log.txt in its folder says where"


def _paths(names: tuple[str, ...]) -> list[Path]:
    return [Path(name) for name in names]


class Channel:
    """Progress to the parent: at once where a stage begins or much has changed, else at most every QUIET_S."""

    def __init__(self, out: BinaryIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._quiet_until = 0.0
        self._last = Told(-1.0)

    def __call__(self, told: Told) -> None:
        now = self._clock()
        if now < self._quiet_until and not self._is_news(told):
            return
        self._quiet_until, self._last = now + QUIET_S, told
        self._out.write(msgspec.json.encode(told) + b"\n")
        self._out.flush()

    def _is_news(self, told: Told) -> bool:
        """Much more is done, or the first word, which names the stage, is another one."""
        is_other = told.message.partition(" ")[0] != self._last.message.partition(" ")[0]
        return is_other or told.fraction - self._last.fraction >= MUCH


def main() -> int:
    """Carry out the order on standard input."""
    configure(log_format())
    source = leash_of()
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    order = msgspec.json.decode(_line(source), type=Order)
    watch(source, lambda: os.killpg(0, signal.SIGKILL))
    os.nice(order.nice)
    workspace = Workspace(Path(order.folder))
    with workspace.locked():
        workspace.keep(carry_out(order, channel))
    return 0


def _line(source: BinaryIO) -> bytes:
    line = bytearray()
    while (byte := source.read(1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


if __name__ == "__main__":
    sys.exit(main())
