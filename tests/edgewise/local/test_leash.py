"""The pipe between parent and child, without processes."""

from __future__ import annotations

import threading

from edgewise.local.leash import LEASH_VARIABLE, Leash, watch_parent


def test_a_process_without_a_leash_watches_nothing() -> None:
    assert watch_parent({}) is None
    assert watch_parent({LEASH_VARIABLE: ""}) is None


def test_the_child_hears_when_the_last_holder_of_the_pipe_is_gone() -> None:
    lost = threading.Event()
    with Leash() as leash:
        watcher = watch_parent(leash.variables, on_loss=lost.set)
        assert watcher is not None
        assert not lost.is_set()
        leash.let_go()
        watcher.join(10)
    assert lost.is_set()
