"""The reference pair in a process of its own: `python -m benchmarks.cloud_pair THREADS`. Asked as edge_process.py says.

One engine of the large model for each way to speculate (`off`, `auto`, or a fixed number of drafts for everybody), the
small model drafting behind lookups as in a worker. All live in one process, so that what they are asked can take turns.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch

from benchmarks.cloud_crowd import Crowd
from benchmarks.cloud_speculation import AUTO, OFF
from benchmarks.edge_models import ROOT
from benchmarks.edge_process import Operation, serve
from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.loader import load_speculator
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.speculation.goodput import Ask, Choice
from cloud_worker.engine.speculation.speculator import Speculator
from cloud_worker.forge.curriculum.mixture import draw
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.manifest import load_manifest

MODEL, DRAFT = (ROOT / "reference_models" / name for name in ("cloud", "draft"))
SLOTS, STEP_TOKENS = 64, 640
ANSWER_TOKENS = 64
BLOCKS = 2048


class Fixed:
    """In the place of the controller: so many drafts for every answer, always."""

    def __init__(self, drafts: int) -> None:
        self._drafts = drafts

    def choose(self, asks: Sequence[Ask], other_rows: int = 0, prompt_rows: int = 0) -> Choice:
        return Choice([min(self._drafts, len(ask.chances)) for ask in asks], {})


class Pair:
    """Greedy answers to questions of the reference models' own curriculum, each to its own end."""

    def __init__(self) -> None:
        self._tokenizer = ChatTokenizer.load(MODEL)
        self._engines: dict[str, tuple[TorchEngine, Speculator | None]] = {}
        self._asked = 0

    def crowd(self, way: str, answers: int, concurrent: int, seed: int) -> dict[str, Any]:
        """Answer so many questions, `concurrent` of them at any time; tokens, seconds, what was said and drafted."""
        engine, _ = self._engine(way)
        asked = enumerate(self._questions(answers, seed))
        found, said = Crowd(answers), list[list[int]]([] for _ in range(answers))
        self._asked += 1
        before, running = engine.stats(), 0
        while True:
            for number, ids in islice(asked, concurrent - running):
                engine.submit(f"{self._asked}-{number}", self._state(ids))
                running += 1
            if not running:
                break
            for output in engine.step():
                number = int(output.attempt.split("-")[1])
                found.said(number, len(output.ids))
                said[number] += output.ids
                running -= output.finish is not None
        after = engine.stats()
        counts = {name: getattr(after, name) - getattr(before, name) for name in ("drafted", "accepted")}
        return {**found.told(), "said": said, **counts}

    def costs(self) -> dict[str, Any]:
        """Seconds of a step of one row, and of a call of the draft model, as the controller has come to know them."""
        _, speculator = self._engine(AUTO)
        assert speculator is not None and speculator.drafting_costs is not None
        return {"step_s": speculator.costs.seconds(1), "draft_s": speculator.drafting_costs.seconds(1)}

    def _engine(self, way: str) -> tuple[TorchEngine, Speculator | None]:
        if way not in self._engines:
            options = EngineOptions(precision="bfloat16", slots=SLOTS, step_tokens=STEP_TOKENS, speculation=OFF)
            decoder, speculator = Decoder.load(MODEL, options.precision, BLOCKS), None
            if way != OFF:
                speculator = load_speculator(DRAFT, options, BLOCKS, None if way == AUTO else Fixed(int(way)))
            engine = TorchEngine(decoder, load_manifest(MODEL), options, speculator=speculator)
            self._engines[way] = engine, speculator
        return self._engines[way]

    def _questions(self, count: int, seed: int) -> list[tuple[int, ...]]:
        source = random.Random(f"pair {count} {seed}")
        turns = (draw(source).turns()[:-1] for _ in range(count))
        return [
            self._tokenizer.encode_chat(tuple(Message(each.role, each.content) for each in asked)) for asked in turns
        ]

    def _state(self, ids: tuple[int, ...]) -> GenerationState:
        return GenerationState(
            prompt_ids=ids,
            messages=(),
            model="",
            max_tokens=ANSWER_TOKENS,
            seed=0,
            sampling=Sampling(temperature=0.0),
            eos_ids=self._tokenizer.eos_ids,
        )


def open_pair(threads: int) -> dict[str, Operation]:
    """Load what every way needs, and give the operations."""
    torch.set_num_threads(threads)
    pair = Pair()
    return {"crowd": pair.crowd, "costs": pair.costs}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("threads", type=int)
    serve(lambda: open_pair(parser.parse_args().threads))
