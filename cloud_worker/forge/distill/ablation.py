"""Ablation: short students that differ in one term of the distillation, at equal tokens and at equal time.

At equal tokens every student sees the same number of tokens. At equal time a student whose steps are dearer than the
plain one's gets so many fewer tokens that both train equally long, by the seconds measured in the first round. Labels
that are read from a file are paid for by the run that made them; `label_seconds` says what they cost.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_worker.forge.recipes import Lessons
from cloud_worker.forge.training.launch import train_model
from cloud_worker.forge.training.train import Job
from edgewise.wire.findings import Table


@dataclass(frozen=True)
class Variant:
    """A student: which shares of its tokens are guided, taught and on-policy, and the settings of its lessons.

    `teacher` is the tier that it learns from; empty: the one that the recipe gives it.
    """

    name: str
    guided: float = 0.0
    taught: float = 0.0
    on_policy: float = 0.0
    alpha: float = 0.5
    temperature: float = 2.0
    hidden: float = 0.5
    attention: float = 0.5
    teacher: str = ""

    def lessons(self, teacher: str, tokens: int) -> Lessons | None:
        """The lessons of a student of `tokens` tokens; None for the plain one."""
        if not (self.guided or self.taught or self.on_policy):
            return None
        return Lessons(
            self.teacher or teacher,
            guided_tokens=round(self.guided * tokens),
            taught_tokens=round(self.taught * tokens),
            on_policy_tokens=round(self.on_policy * tokens),
            alpha=self.alpha,
            temperature=self.temperature,
            hidden=self.hidden,
            attention=self.attention,
        )


VARIANTS: Final = (
    Variant("plain"),
    Variant("soft", taught=0.4),
    Variant("soft, T = 1", taught=0.4, temperature=1.0),
    Variant("soft, all steps", taught=1.0),
    Variant("soft, straight from the cloud", taught=0.4, teacher="cloud"),
    Variant("hidden", guided=0.1, attention=0.0),
    Variant("attention", guided=0.1, hidden=0.0),
    Variant("soft + on-policy", taught=0.4, on_policy=0.05),
    Variant("everything", guided=0.1, taught=0.4, on_policy=0.05),
)


def distinct(variants: Sequence[Variant], teacher: str) -> tuple[Variant, ...]:
    """The variants that differ for a student of `teacher`: without those that only name that teacher once more.

    Where the recipe's teacher was itself taught by a larger model, as the draft's is, "soft" is the progressive student
    and "soft, straight from the cloud" the one that skips a step of the chain.
    """
    return tuple(one for one in variants if one.teacher != teacher)


@dataclass(frozen=True)
class Outcome:
    """What became of one student."""

    variant: str
    budget: str
    tokens: int
    seconds: float
    by_grade: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of the four grades."""
        return sum(self.by_grade) / len(self.by_grade)


@dataclass(frozen=True)
class Bench:
    """Where students are made: a plain job to vary (its corpus is long enough for all), and the teacher's tier.

    Labels of the teacher `tier` lie in `labels.tier` beside the job's rows, its model in the folder `tier` of `models`.
    """

    job: Job
    teacher: str
    models: Path

    def labels(self, teacher: str) -> Path:
        """The folder of a teacher's labels."""
        return self.job.corpus.parent / f"labels.{teacher}"

    def student(self, variant: Variant, tokens: int, budget: str) -> Outcome:
        """Train one student, unless the log of just this one is there."""
        recipe = dataclasses.replace(self.job.recipe, tokens=tokens, lessons=variant.lessons(self.teacher, tokens))
        name = f"{variant.name.replace(',', '')} {budget} {tokens}".replace(" ", "-")
        out = self.job.out / name
        out.mkdir(parents=True, exist_ok=True)
        taught_by = variant.teacher or self.teacher
        job = dataclasses.replace(
            self.job, recipe=recipe, out=out, labelled=self.labels(taught_by), teacher=self.models / taught_by
        )
        if not job.log.exists():
            train_model(job, lambda step, steps, loss: None)
        log = json.loads(job.log.read_text(encoding="utf-8"))
        return Outcome(variant.name, budget, log["tokens"], log["seconds"], tuple(log["accuracies"][-1]["by_grade"]))


def ablate(
    bench: Bench, variants: tuple[Variant, ...], tokens: int, told: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """All variants at equal tokens, then all but the plain one at the plain one's time."""
    found: list[Outcome] = []

    def make(variant: Variant, count: int, budget: str) -> Outcome:
        found.append(bench.student(variant, count, budget))
        told(found[-1])
        return found[-1]

    first = [make(variant, tokens, "equal tokens") for variant in variants]
    for variant, outcome in zip(variants[1:], first[1:], strict=True):
        make(variant, round(tokens * first[0].seconds / outcome.seconds), "equal time")
    return found


TITLE: Final = "What each term of distillation gains"
HEAD: Final = ("student", "at", "tokens", "seconds", "g1", "g2", "g3", "g4", "mean", "against plain")


def table(outcomes: Sequence[Outcome], label_seconds: Mapping[str, float], settings: Mapping[str, object]) -> Table:
    """The table for the card of the student's tier."""
    plain = outcomes[0].mean
    told = ", ".join(f"{name} {value}" for name, value in settings.items())
    cost = ", ".join(f"{seconds:.0f} s ({tier})" for tier, seconds in label_seconds.items())
    text = (
        f"Percent of development exercises whose every answer token is the most likely one; one seed ({told}). The "
        f"teachers' labels took {cost} once, not counted in the seconds of the students that read them; nor is the "
        "training of a teacher."
    )
    return Table(TITLE, text, HEAD, tuple(_row(one, plain) for one in outcomes))


def _row(one: Outcome, plain: float) -> tuple[str, ...]:
    shares = [f"{share:.1f}" for share in (*one.by_grade, one.mean)]
    return (one.variant, one.budget, f"{one.tokens:,}", f"{one.seconds:.0f}", *shares, f"{one.mean - plain:+.1f}")
