"""No orphans: `run` starts a library's module in a process that ends with this one, however this one dies.

Standard input of the child is the leash: a pipe whose other end only the parent holds, and the kernel closes it.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO


def run(module: str, arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments`, to its end; what it printed is captured."""
    leash, held = os.pipe()  # both are closed on exec, so no child holds the parent's end
    command = [sys.executable, "-m", __name__, module, *arguments]
    try:
        return subprocess.run(command, stdin=leash, capture_output=True, text=True, check=False, env=environ)  # noqa: S603
    finally:
        os.close(leash)
        os.close(held)


def leash_of() -> BinaryIO:
    """Standard input as the leash; libraries read nothing from then on."""
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return source


def watch(leash: BinaryIO, end: Callable[[], None]) -> None:
    """Call `end` in a thread of its own when the parent's end of the leash is closed."""

    def until_closed() -> None:
        while leash.read(1):
            pass  # nobody writes
        end()

    threading.Thread(target=until_closed, name="leash", daemon=True).start()


def main(arguments: Sequence[str]) -> None:
    """Be the child: run the module as if it were called by its name."""
    watch(leash_of(), lambda: os.kill(os.getpid(), signal.SIGKILL))
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
