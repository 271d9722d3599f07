"""Training of one model: Muon and AdamW, a schedule counted in steps, loss on answers, checkpoint and resume.

With several ranks, single-threaded processes average gradients: two threads in one process collapse when a neighbour
takes a core. Making the corpus and judging the model are elsewhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from cloud_worker.engine.models.qwen2 import Qwen2
from cloud_worker.forge.corpus import Corpus, Deal, deal
from cloud_worker.forge.recipes import ModelRecipe

PROMPT_WEIGHT: Final = 0.1
PROMPT_SHARE: Final = 0.3
WARM_UP: Final = 0.04
FLOOR: Final = 0.01

Report = Callable[[int, int, float], None]


class CheckpointError(Exception):
    """A checkpoint that belongs to another run."""


@dataclass(frozen=True)
class Job:
    """Everything that one rank needs: recipe, corpus file, where to write, the device and whether to compile.

    The state is saved every `checkpoint_every` steps.
    """

    recipe: ModelRecipe
    corpus: Path
    out: Path
    seed: int
    device: str
    compile: bool
    ranks: int = 1
    checkpoint_every: int = 250


def rate(step: int, steps: int) -> float:
    """Learning rate as a share of its peak: linear warm-up, flat to 30 %, then linear to FLOOR."""
    progress = step / steps
    if progress < WARM_UP:
        return (step + 1) / max(1.0, WARM_UP * steps)
    return max(FLOOR, min(1.0, (1 - progress) / 0.7))


def optimizers(model: Qwen2, recipe: ModelRecipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan, 2024) for the matrices of the layers, AdamW for embedding, norms and biases."""
    named = list(model.named_parameters())
    matrices = [value for name, value in named if value.ndim == 2 and ".layers." in name]
    others = [value for name, value in named if not (value.ndim == 2 and ".layers." in name)]
    return [
        torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def initialise(model: Qwen2, seed: int) -> None:
    """Normal weights (0.02; output projections scaled down by depth), zero biases, from a seed."""
    generator = torch.Generator().manual_seed(seed)
    depth = (2 * model.config.num_hidden_layers) ** -0.5
    for name, value in model.named_parameters():
        if value.ndim == 1:
            continue
        deviation = 0.02 if "embed" in name else value.shape[1] ** -0.5 * 0.6
        scale = depth if "o_proj" in name or "down_proj" in name else 1.0
        with torch.no_grad():
            value.copy_(torch.randn(value.shape, generator=generator) * deviation * scale)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(value)


def loss_of(model: Qwen2, ids: Tensor, answer: Tensor, chosen: Tensor) -> Tensor:
    """Weighted cross-entropy: answers weigh 1, the prompt tokens in `chosen` PROMPT_WEIGHT / PROMPT_SHARE."""
    inputs, targets = ids[:, :-1], ids[:, 1:]
    positions = torch.arange(inputs.shape[1], device=ids.device).expand_as(inputs)
    weights = torch.where(answer[:, 1:] > 0, 1.0, chosen[:, 1:] * (PROMPT_WEIGHT / PROMPT_SHARE)) * (targets != 0)
    kept = weights > 0
    hidden = model.hidden(inputs, positions)[kept]
    each = functional.cross_entropy(model.head(hidden).float(), targets[kept], reduction="none")
    return (each * weights[kept]).sum() / weights.sum()


def _average(model: Qwen2) -> None:
    """Average gradients over the ranks, in one message."""
    grads = [value.grad for value in model.parameters() if value.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for grad, part in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


class Trainer:
    """One rank's training state. `run` goes on from the last checkpoint in the job's folder, if there is one."""

    def __init__(self, job: Job, rank: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.job, self.rank, self.clock = job, rank, clock
        self.corpus = Corpus.load(job.corpus)
        self.deal: Deal = deal(self.corpus, job.recipe.step_tokens)
        self.steps = len(self.deal.order)
        self.model = Qwen2(job.recipe.config)
        initialise(self.model, job.seed)
        self.model.to(job.device)
        self.optimizers = optimizers(self.model, job.recipe)
        self.step = 0
        self.losses: list[float] = []
        self.seconds = 0.0
        self._peaks = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]
        if job.compile:
            for layer in self.model.model.layers:
                layer.compile()

    @property
    def checkpoint(self) -> Path:
        """Where the state of an unfinished run lies."""
        return self.job.out / f"{self.job.recipe.tier}.checkpoint.pt"

    def run(self, report: Report) -> None:
        """Train to the end; `report(step, steps, loss)` is called after each step. Raises CheckpointError."""
        self._resume()
        started = self.clock() - self.seconds
        while self.step < self.steps:
            loss = self._advance()
            self.seconds = self.clock() - started
            self.losses.append(loss)
            report(self.step, self.steps, loss)
            if self.step % self.job.checkpoint_every == 0 and self.step < self.steps:
                self._save()

    def _advance(self) -> float:
        self._set_rates()
        with torch.autocast(torch.device(self.job.device).type, torch.bfloat16):
            loss = loss_of(self.model, *self._batch())
        loss.backward()  # type: ignore[no-untyped-call]
        if self.job.ranks > 1:
            _average(self.model)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return float(loss.detach()) if self.step % 10 == 0 or self.job.device == "cpu" else self._last_loss()

    def _last_loss(self) -> float:
        return self.losses[-1] if self.losses else float("nan")

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """This rank's rows of this step: ids, answer flags and the chosen prompt tokens, each [rows, T]."""
        is_long, first = self.deal.order[self.step]
        count = self.deal.long_rows if is_long else self.deal.short_rows
        mine = slice(first + self.rank, first + count, self.job.ranks)
        corpus = self.corpus
        ids, answer = (corpus.long, corpus.long_answer) if is_long else (corpus.short, corpus.short_answer)
        chosen = np.random.default_rng((self.job.seed, self.step, self.rank)).random(ids[mine].shape) < PROMPT_SHARE
        as_long = (torch.from_numpy(part[mine].astype(np.int64)) for part in (ids, answer))
        ids_tensor, answer_tensor = (part.to(self.job.device, non_blocking=True) for part in as_long)
        return ids_tensor, answer_tensor, torch.from_numpy(chosen).to(self.job.device)

    def _set_rates(self) -> None:
        share = rate(self.step, self.steps)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self._peaks, strict=True):
            group["lr"] = peak * share

    def _identity(self) -> dict[str, Any]:
        return {"recipe": asdict(self.job.recipe), "seed": self.job.seed, "steps": self.steps, "ranks": self.job.ranks}

    def _save(self) -> None:
        if self.rank:
            return
        state = {
            "identity": self._identity(),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "losses": self.losses,
            "seconds": self.seconds,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.job.device, weights_only=True)
        if state["identity"] != self._identity():
            said = f"{self.checkpoint}: it belongs to another recipe, seed or length; delete it to start afresh"
            raise CheckpointError(said)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.losses, self.seconds = state["step"], state["losses"], state["seconds"]

    def finish(self) -> None:
        """Write the weights (bf16), config.json and the run's log, and drop the checkpoint."""
        folder = self.job.out / self.job.recipe.tier
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder)
        log = {**self._identity(), "tokens": self.corpus.tokens, "seconds": round(self.seconds, 1)}
        log |= {"device": device_name(self.job.device), "torch": torch.__version__}
        log["losses"] = [round(loss, 4) for loss in self.losses]
        (self.job.out / f"{self.job.recipe.tier}.log.json").write_text(json.dumps(log) + "\n", encoding="utf-8")
        self.checkpoint.unlink(missing_ok=True)


def device_name(device: str) -> str:
    """The device in words, for the log and the card."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
