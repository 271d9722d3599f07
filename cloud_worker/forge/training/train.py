"""Training of one model, as one rank sees it: the steps of its parts, examinations on the way, checkpoint and resume.

What a step's loss is lies in lesson.py and distill/; what ranks share lies in team.py; judging the result is elsewhere.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import ModelRecipe
from cloud_worker.forge.training import checkpoint, development, trunk
from cloud_worker.forge.training.corpus import Corpus
from cloud_worker.forge.training.lesson import Hand, LayerPass, Part, Plain
from cloud_worker.forge.training.optimise import initialise, optimizers, rate
from cloud_worker.forge.training.team import Share, Team

EXAMINATIONS: Final = 12

Report = Callable[[int, int, float], None]


class TrainingStoppedError(Exception):
    """The training was asked to stop; its checkpoint is written, and the same command goes on from it."""


@dataclass(frozen=True)
class Job:
    """Everything that one rank needs: recipe, files, where to write, the device and whether to compile.

    `labelled` holds the rows of taught steps with the teacher's labels beside them, `teacher` the teacher's directory,
    `tokenizer` and `paper_per_cell` make the development examination (0: none). The state is saved every
    `checkpoint_every` steps.
    """

    recipe: ModelRecipe
    corpus: Path
    out: Path
    seed: int
    device: str
    compile: bool
    ranks: int = 1
    checkpoint_every: int = 250
    labelled: Path | None = None
    teacher: Path | None = None
    tokenizer: Path | None = None
    paper_per_cell: int = 0

    @property
    def checkpoint(self) -> Path:
        """Where the state of an unfinished run lies."""
        return self.out / f"{self.recipe.tier}.checkpoint.pt"

    @property
    def log(self) -> Path:
        """The log of a finished run: where it is, the weights are."""
        return self.out / f"{self.recipe.tier}.log.json"

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        return {"recipe": asdict(self.recipe), "seed": self.seed, "ranks": self.ranks}


@dataclass(frozen=True)
class Accuracy:
    """Percent right by grade (1 to 4) after `step` steps."""

    step: int
    by_grade: tuple[float, ...]


class Pupil(nn.Module):
    """The model that is trained and, when a teacher's states guide it, the projections between their widths."""

    def __init__(self, model: Qwen2, bridge: nn.ModuleList) -> None:
        super().__init__()
        self.model, self.bridge = model, bridge


def pupil_of(job: Job) -> Pupil:
    """A new pupil with its first weights."""
    from cloud_worker.forge.distill.guided import bridge_for

    model = Qwen2(job.recipe.config)
    initialise(model, job.seed)
    return Pupil(model, bridge_for(job)).to(job.device)


class Trainer:
    """One rank's training state. `run` goes on from the last checkpoint in the job's folder, if there is one."""

    def __init__(
        self, job: Job, pupil: Pupil, team: Team, rank: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job, self.pupil, self.team, self.rank, self.clock = job, pupil, team, rank, clock
        self.model = pupil.model
        self.parts = parts_of(job, pupil, rank, trunk.compiled() if job.compile else trunk.lean_pass)
        self.steps = sum(part.steps for part in self.parts)
        self.share = Share(team, rank, pupil)
        self.optimizers = optimizers(self.share.owned(), job.recipe)
        self.paper = development.paper(job.tokenizer, job.paper_per_cell) if job.tokenizer else None
        self.step = 0
        self.losses: list[float] = []
        self.accuracies: list[Accuracy] = []
        self.seconds = 0.0
        self._peaks = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def checkpoint(self) -> Path:
        """Where the state of an unfinished run lies."""
        return self.job.checkpoint

    def run(self, report: Report) -> None:
        """Train to the end; `report(step, steps, loss)` is called after each step.

        Raises CheckpointError before the first step, and TrainingStoppedError after a checkpoint when asked to stop.
        """
        self._resume()
        started = self.clock() - self.seconds
        while self.step < self.steps:
            loss = self._advance()
            self.seconds = self.clock() - started
            self.losses.append(loss)
            self._examine()
            report(self.step, self.steps, loss)
            self._save_when_due()

    def _advance(self) -> float:
        self._set_rates()
        self.share.clear()
        with torch.autocast(torch.device(self.job.device).type, torch.bfloat16):
            loss = self._loss()
        loss.backward()  # type: ignore[no-untyped-call]
        self.share.gather()
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        if self.rank == 0:
            self.team.ending[0] = float(self.team.stop.is_set())
        self.team.meet()
        return float(loss.detach()) if self.step % 10 == 0 or self.job.device == "cpu" else self._last_loss()

    def _loss(self) -> Tensor:
        before = 0
        for part in self.parts:
            if self.step < before + part.steps:
                return part.loss(self.step - before)
            before += part.steps
        raise IndexError(f"step {self.step} of {self.steps}: the parts end before it")

    def _last_loss(self) -> float:
        return self.losses[-1] if self.losses else float("nan")

    def _set_rates(self) -> None:
        share = rate(self.step, self.steps)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self._peaks, strict=True):
            group["lr"] = peak * share

    def _examine(self) -> None:
        every = max(1, self.steps // EXAMINATIONS)
        if self.paper is None or (self.step % every and self.step < self.steps):
            return
        self.team.marks[self.rank] = development.examine(self.model, self.paper, self.rank, self.job.ranks)
        self.team.meet()
        right, asked = self.team.marks.sum(0).unbind(1)
        shares = (100 * right / asked.clamp(min=1)).tolist()
        self.accuracies.append(Accuracy(self.step, tuple(round(share, 2) for share in shares)))

    def _save_when_due(self) -> None:
        asked = bool(self.team.ending[0]) and self.step < self.steps
        if asked or (self.step % self.job.checkpoint_every == 0 and self.step < self.steps):
            self._save()
        if asked:
            raise TrainingStoppedError(f"{self.checkpoint}: stopped after step {self.step} of {self.steps}, as asked")

    def _part_file(self, rank: int) -> Path:
        return self.checkpoint.with_suffix(f".rank{rank}")

    def _save(self) -> None:
        own = [optimizer.state_dict() for optimizer in self.optimizers]
        if self.rank:
            torch.save(own, self._part_file(self.rank))
        self.team.meet()
        if self.rank == 0:
            others = [_taken(self._part_file(rank)) for rank in range(1, self.job.ranks)]
            accuracies = [[mark.step, *mark.by_grade] for mark in self.accuracies]
            state = {"pupil": self.pupil.state_dict(), "optimizers": [own, *others], "step": self.step}
            state |= {"losses": self.losses, "seconds": self.seconds, "accuracies": accuracies}
            checkpoint.write(self.checkpoint, self.job.identity, {**state, "steps": self.steps})
        self.team.meet()

    def _resume(self) -> None:
        if self.checkpoint.exists():
            state = checkpoint.read(self.checkpoint, self.job.identity, self.job.device)
            checkpoint.same_length(self.checkpoint, state["steps"], self.steps)
            if self.rank == 0:
                self.pupil.load_state_dict(state["pupil"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"][self.rank], strict=True):
                optimizer.load_state_dict(saved)
            self.step, self.losses, self.seconds = state["step"], state["losses"], state["seconds"]
            self.accuracies = [Accuracy(int(step), tuple(shares)) for step, *shares in state["accuracies"]]
        self.team.meet()

    def finish(self) -> None:
        """Write the weights (bf16), config.json and the run's log, and drop the checkpoint."""
        folder = self.job.out / self.job.recipe.tier
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder)
        log: dict[str, Any] = {
            **self.job.identity,
            "steps": self.steps,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
        }
        log |= {"device": device_name(self.job.device), "torch": torch.__version__}
        log["parts"] = {part.name: part.steps for part in self.parts}
        log["losses"] = [round(loss, 4) for loss in self.losses]
        log["accuracies"] = [asdict(mark) for mark in self.accuracies]
        unfinished = self.job.log.with_suffix(".part")
        unfinished.write_text(json.dumps(log) + "\n", encoding="utf-8")
        unfinished.replace(self.job.log)
        self.checkpoint.unlink(missing_ok=True)

    @property
    def tokens(self) -> int:
        """Training tokens, padding not counted."""
        return sum(part.tokens for part in self.parts)


def _taken(path: Path) -> Any:
    """Another rank's optimizer states; the file is removed."""
    state = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    path.unlink()
    return state


def parts_of(job: Job, pupil: Pupil, rank: int, one: LayerPass) -> tuple[Part, ...]:
    """The parts of a training, in order: guided, plain, taught, on-policy (those that the recipe has)."""
    from cloud_worker.forge.distill.parts import after_plain, before_plain

    recipe, lessons = job.recipe, job.recipe.lessons
    hand = Hand(Corpus.load(job.corpus), recipe.step_tokens, job.seed, rank, job.ranks, job.device)
    before, after = before_plain(job, pupil, hand), after_plain(job, pupil, rank, one)
    first = sum(part.steps for part in before)
    elsewhere = lessons.taught_tokens + lessons.on_policy_tokens if lessons else 0
    plain = Plain(pupil.model, hand, first, hand.wanted(recipe.tokens - elsewhere) - first, one)
    return tuple(part for part in (*before, plain, *after) if part.steps)


def device_name(device: str) -> str:
    """The device in words, for the log and the card."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
