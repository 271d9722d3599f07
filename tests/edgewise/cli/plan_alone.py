"""Imported in an interpreter that has the base install only: makes a plan of every kind."""

from __future__ import annotations

from edgewise.cli.main import run

COMMANDS = (
    "kv --layers 2 --kv-heads 1 --head-dim 8",
    "quant --low -1 --high 1",
    "mixed --parameters 1e6 --layers 2 --budget-mb 5",
    "latency",
    "phone --model reference_models/edge",
)
for _command in COMMANDS:
    if status := run(["plan", *_command.split()]):
        raise SystemExit(status)
