"""`python -m cloud_worker.forge reference-models --recipe cpu|gpu --out reference_models`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from cloud_worker.forge import pipeline
from cloud_worker.forge.recipes import RECIPES

STAGES: Final = ("all", "train", "edge", "finish")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m cloud_worker.forge", description="Make models.")
    commands = top.add_subparsers(dest="command", required=True)
    command = commands.add_parser("reference-models", help="train the reference pair")
    _add_places(command)
    command.add_argument("--recipe", choices=sorted(RECIPES), default="cpu", help="cpu: two cores; gpu: more steps")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--steps-scale", type=float, default=1.0, help="multiply the training steps, for tests")
    command.add_argument("--per-cell", type=int, default=12, help="exam exercises per family, grade and language")
    command.add_argument("--stage", choices=STAGES, default="all", help="train: no export; finish: only what follows")
    command.add_argument("--no-compile", action="store_true", help="do not use torch.compile (needs a C++ compiler)")
    return top


def _add_places(command: argparse.ArgumentParser) -> None:
    work = "folder for checkpoints; a rerun goes on from it (default build/forge-RECIPE)"
    command.add_argument("--out", type=Path, default=Path("reference_models"), help="folder for edge/ and cloud/")
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
    run = asked(given)
    pipeline.make_tokenizer(run)
    if given.stage == "edge":
        pipeline.train_tier(run, run.recipe.edge)
    elif given.stage in ("all", "train"):
        pipeline.train_both(run, arguments)
    if given.stage in ("all", "finish"):
        pipeline.finish(run, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
