"""What ranks share: gradients are averaged by the owner, and handlers are put back."""

from __future__ import annotations

import copy
import dataclasses
import signal
import threading
from multiprocessing import get_context

import torch
from torch import nn

from cloud_worker.forge.training.team import SIGNALS, Share, Team, heed, held_back, stopping


def pair() -> tuple[list[nn.Linear], list[Share]]:
    """Two ranks in one process; nobody waits."""
    first = nn.Linear(4, 3)
    team = dataclasses.replace(Team.of(2, first), barrier=get_context("spawn").Barrier(1))
    models = [first, copy.deepcopy(first)]
    for ours, theirs in zip(models[1].parameters(), first.parameters(), strict=True):
        ours.data = theirs.data
    return models, [Share(team, rank, model) for rank, model in enumerate(models)]


def test_the_owner_gets_the_mean_of_all_ranks() -> None:
    models, shares = pair()
    for rank, (model, share) in enumerate(zip(models, shares, strict=True)):
        share.clear()
        (model(torch.ones(1, 4)).sum() * (rank + 1)).backward()
    for share in shares:
        share.gather()
        for _, value in share.owned():
            assert value.grad is not None and torch.equal(value.grad, torch.full_like(value, 1.5))
    assert sorted(name for share in shares for name, _ in share.owned()) == ["bias", "weight"]


def test_what_one_rank_steps_the_other_sees() -> None:
    models, shares = pair()
    with torch.no_grad():
        for share in shares:
            for _, value in share.owned():
                value.fill_(7)
    assert all(torch.equal(value, torch.full_like(value, 7)) for model in models for value in model.parameters())


def test_clearing_forgets_the_step_before() -> None:
    models, shares = pair()
    for _ in range(2):
        shares[0].clear()
        models[0](torch.ones(1, 4)).sum().backward()
    grad = models[0].weight.grad
    assert grad is not None and torch.equal(grad, torch.ones(3, 4))


def test_a_signal_is_a_request_and_only_in_the_main_thread() -> None:
    event = get_context("spawn").Event()
    before = signal.getsignal(signal.SIGTERM)
    with stopping(event):
        signal.raise_signal(signal.SIGTERM)
    assert event.is_set() and signal.getsignal(signal.SIGTERM) is before

    def elsewhere() -> None:
        with stopping(event):
            assert signal.getsignal(signal.SIGTERM) is before

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()


def test_a_signal_that_is_held_back_comes_after() -> None:
    event = get_context("spawn").Event()
    with stopping(event):
        with held_back():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            assert not event.is_set()
        assert event.is_set()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    heed()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(SIGNALS)
