"""One call of the forge: what to make, where, how long; and which files of the work folder are whose."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cloud_worker.forge import export
from cloud_worker.forge.evaluate import ANSWER_LIMIT
from cloud_worker.forge.recipes import Lessons, ModelRecipe, Recipe
from cloud_worker.forge.training.corpus import WIDTHS
from cloud_worker.forge.training.train import Job


@dataclass(frozen=True)
class Run:
    """One call of the forge.

    `per_cell` is the number of exercises per family, grade and language, `answer_tokens` the most that an examined
    model may say, `agreement_exercises` how many conversations the exported graphs of all `precisions` are compared on,
    `paper_per_cell` the size of the development examinations while training.
    """

    recipe: Recipe
    out: Path
    work: Path
    device: str = "cpu"
    scale: float = 1.0
    per_cell: int = 12
    compile: bool = True
    answer_tokens: int = ANSWER_LIMIT
    agreement_exercises: int = 120
    precisions: tuple[str, ...] = export.PRECISIONS
    paper_per_cell: int = 4

    def scaled(self, model: ModelRecipe) -> ModelRecipe:
        """The model's recipe with its tokens multiplied by the scale (at least some steps of each width of rows)."""
        lessons = model.lessons and self._scaled_lessons(model.lessons)
        least = 20 * WIDTHS[-1]
        return dataclasses.replace(model, tokens=max(least, round(model.tokens * self.scale)), lessons=lessons)

    def _scaled_lessons(self, lessons: Lessons) -> Lessons:
        names = ("guided_tokens", "taught_tokens", "on_policy_tokens")
        return dataclasses.replace(lessons, **{name: round(getattr(lessons, name) * self.scale) for name in names})

    def job(self, model: ModelRecipe) -> Job:
        """The training of one model as its ranks see it."""
        recipe, lessons = self.scaled(model), model.lessons
        return Job(
            recipe,
            self.rows(model.tier),
            self.work,
            self.recipe.seed,
            self.device,
            self.compile,
            self.recipe.ranks,
            labelled=self.labels(lessons.teacher) if lessons and uses_labels(lessons) else None,
            teacher=self.work / lessons.teacher if lessons else None,
            tokenizer=self.tokenizer_file,
            paper_per_cell=self.paper_per_cell,
        )

    @property
    def tokenizer_file(self) -> Path:
        """Where the trained tokenizer lies."""
        return self.work / "tokenizer.json"

    def rows(self, name: str) -> Path:
        """Where the packed rows of a tier lie while it is trained."""
        return self.work / f"{name}.rows.npz"

    def labels(self, teacher: str) -> Path:
        """The folder of a teacher's labels and the rows that they belong to."""
        return self.work / f"labels.{teacher}"

    def trained(self, tier: str) -> bool:
        """Whether a tier's training is finished."""
        return (self.work / f"{tier}.log.json").exists()

    @property
    def label(self) -> str:
        """The recipe's name as cards and manifests give it."""
        return self.recipe.name if self.scale == 1 else f"{self.recipe.name}, steps scaled by {self.scale:g}"


def uses_labels(lessons: Lessons) -> bool:
    """Whether labelled rows are needed: taught steps read the labels, on-policy steps the questions."""
    return bool(lessons.taught_tokens or lessons.on_policy_tokens)
