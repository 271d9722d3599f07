"""forge.train: `make reference-models` as a job: tokenizer, trainings one after the other, export, examination, cards.

What is finished, and the checkpoints of what is not, lie in the job's folder; the pipeline's stages find them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cloud_worker.forge.jobs.bodies.version import described
from cloud_worker.forge.jobs.kinds import Bench
from cloud_worker.forge.jobs.stages import Progress
from cloud_worker.forge.recipes import RECIPES, Recipe
from cloud_worker.forge.reference import finishing, pipeline, preflight
from cloud_worker.forge.reference.run import Run
from cloud_worker.forge.reference.stages import Stage
from edgewise.wire.forge_jobs import ModelResult, TrainPayload

NAME = "train"


class Trained(msgspec.Struct, frozen=True):
    """The model directories, by tier."""

    models: dict[str, ModelResult]


def train(payload: TrainPayload, bench: Bench, progress: Progress) -> Trained:
    """All tiers of a recipe. Raises PreflightError and its kin before any work."""
    return train_recipe(RECIPES[payload.recipe], payload, bench, progress)


def train_recipe(recipe: Recipe, payload: TrainPayload, bench: Bench, progress: Progress) -> Trained:
    """`train` with a recipe of one's own."""
    pipeline.single_threaded()
    run = Run(
        recipe=recipe,
        out=bench.folder / "models",
        work=bench.folder / "work",
        device=bench.device,
        scale=payload.scale,
        per_cell=payload.per_cell,
        compile=payload.compile,
        answer_tokens=payload.answer_tokens,
    )
    preflight.check(run, tuple(model.tier for model in recipe.models), preflight.Room.at(run.work))
    run_stages(_stages(run), progress)
    return Trained({model.tier: described(bench, run.out / model.tier) for model in recipe.models})


def _stages(run: Run) -> list[Stage]:
    """The stages of `make reference-models`, in its order."""
    trainings = [stage for model in run.recipe.models for stage in pipeline.tier_stages(run, model)]
    tokenizer = Stage("tokenizer", 20, lambda tell: pipeline.make_tokenizer(run))
    return [tokenizer, *trainings, *finishing.stages(run)]


def run_stages(stages: Sequence[Stage], progress: Progress) -> None:
    """Do all stages, with progress over them all by the seconds that they are said to take."""
    whole, before = sum(stage.seconds for stage in stages), 0.0
    for stage in stages:

        def tell(share: float, note: str = "", stage: Stage = stage, before: float = before) -> None:
            progress(NAME, (before + share * stage.seconds) / whole, 1, f"{stage.name} {note}".rstrip())

        tell(0.0)
        stage.work(tell)
        before += stage.seconds
    progress(NAME, 1, 1)
