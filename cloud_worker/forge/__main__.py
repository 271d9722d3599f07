"""`python -m cloud_worker.forge reference-models`, `... ablate`, `... card --check`, `... quantize --model DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cloud_worker.forge.card import command as card
from cloud_worker.forge.distill import command as ablate
from cloud_worker.forge.quantize import command as quantize
from cloud_worker.forge.recipes import RECIPES, TIERS
from cloud_worker.forge.reference import pipeline
from cloud_worker.forge.reference.preflight import PreflightError
from cloud_worker.forge.tokenizer import TokenizerFileError
from cloud_worker.forge.training.checkpoint import CheckpointError
from cloud_worker.forge.training.corpus import CorpusFileError
from cloud_worker.forge.training.launch import RankDiedError
from cloud_worker.forge.training.train import TrainingStoppedError

STAGES: Final = ("all", "train", *TIERS, "finish")
STOPPED: Final = 130
REFUSED: Final = 2
DIED: Final = 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m cloud_worker.forge", description="Make models.")
    commands = top.add_subparsers(dest="command", required=True)
    command = commands.add_parser("reference-models", help="train the reference models")
    _add_places(command)
    command.add_argument("--recipe", choices=sorted(RECIPES), default="cpu", help="cpu: two cores; gpu: more steps")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--steps-scale", type=float, default=1.0, help="multiply the training steps, for tests")
    command.add_argument("--per-cell", type=int, default=12, help="exam exercises per family, grade and language")
    command.add_argument(
        "--stage", choices=STAGES, default="all", help="train: no export; a tier: only it; finish: the rest"
    )
    command.add_argument("--no-compile", action="store_true", help="do not use torch.compile (needs a C++ compiler)")
    ablate.add_arguments(commands.add_parser("ablate", help="what each term of distillation gains a student"))
    card.add_arguments(commands.add_parser("card", help="check, write or measure the cards of model directories"))
    quantize.add_arguments(commands.add_parser("quantize", help="measure quantization methods on a model directory"))
    return top


def _add_places(command: argparse.ArgumentParser) -> None:
    work = "folder for checkpoints; a rerun goes on from it (default build/forge-RECIPE)"
    command.add_argument(
        "--out", type=Path, default=Path("reference_models"), help="folder for cloud/, edge/ and draft/"
    )
    command.add_argument("--work", type=Path, default=None, help=work)


def asked(given: argparse.Namespace) -> pipeline.Run:
    """The run that the command line asks for."""
    return pipeline.Run(
        recipe=RECIPES[given.recipe],
        out=given.out,
        work=given.work or Path("build") / f"forge-{given.recipe}",
        device=given.device,
        scale=given.steps_scale,
        per_cell=given.per_cell,
        compile=not given.no_compile,
    )


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    given = parser().parse_args(arguments)
    pipeline.single_threaded()
    if given.command == "card":
        return card.run(given)
    if given.command == "quantize":
        return quantize.main(given)
    if given.command == "ablate":
        return politely(lambda: ablate.run(given))
    return make(asked(given), given.stage)


def make(run: pipeline.Run, stage: str) -> int:
    """Make the models; returns the exit status."""

    def work() -> int:
        pipeline.make(run, stage)
        return 0

    return politely(work)


def politely(work: Callable[[], int]) -> int:
    """Do the work; says in one line what was wrong or that it stopped."""
    try:
        return work()
    except TrainingStoppedError as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("stopped; give the same command to go on from what is finished", file=sys.stderr)
        return STOPPED
    except RankDiedError as died:
        print(died, file=sys.stderr)
        return DIED
    except (PreflightError, CheckpointError, TokenizerFileError, CorpusFileError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
