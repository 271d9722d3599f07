"""No orphans: a pipe that the parent holds open and each child watches; the kernel closes it however the parent dies.

A pipe and not Linux's PR_SET_PDEATHSIG: it works on every Unix, needs no code between fork and exec, and does not fire
when merely the thread that started the child ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

LEASH_VARIABLE = "EDGEWISE_LEASH_FD"
GRACE_S = 20.0


class Leash:
    """The parent's end: give `fd` to each child (`pass_fds`) and `variables` to its environment. A context manager."""

    def __init__(self) -> None:
        self.fd, self._held = os.pipe()  # both are closed on exec, so no child holds the parent's end
        self._holding = True

    @property
    def variables(self) -> dict[str, str]:
        """What a child needs in its environment to find its end."""
        return {LEASH_VARIABLE: str(self.fd)}

    def __enter__(self) -> Leash:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        os.close(self.fd)

    def let_go(self) -> None:
        """Close the parent's end: every child hears it."""
        if self._holding:
            os.close(self._held)
            self._holding = False


def watch_parent(
    environ: Mapping[str, str] = os.environ, *, grace_s: float = GRACE_S, on_loss: Callable[[], None] | None = None
) -> threading.Thread | None:
    """In a child: when the parent is gone, SIGTERM to this process, and a hard end `grace_s` seconds later.

    Does nothing (None) in a process that was not started on a leash.
    """
    text = environ.get(LEASH_VARIABLE, "")
    if not text:
        return None
    fd = int(text)
    os.set_inheritable(fd, False)
    lost = on_loss or (lambda: _leave(grace_s))
    thread = threading.Thread(target=_watch, args=(fd, lost), name="leash", daemon=True)
    thread.start()
    return thread


def _watch(fd: int, lost: Callable[[], None]) -> None:
    while os.read(fd, 1):
        pass  # nobody writes; the read ends when the last writer is gone
    lost()


def _leave(grace_s: float) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(1)
