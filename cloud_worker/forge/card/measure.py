"""Measuring a family of models for their cards: one examination for all tiers, and how they agree with one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from cloud_worker.forge.card.collect import accepted_found, agreement_found, cells_found, examination_digest
from cloud_worker.forge.curriculum import Exercise
from cloud_worker.forge.evaluate.acceptance import Accepted, accepted
from cloud_worker.forge.evaluate.decoder import Advance, Decoder, no_progress
from cloud_worker.forge.evaluate.examining import ANSWER_LIMIT, EXAMINATION_SEED, judge, prompt_ids, sample
from cloud_worker.forge.evaluate.marks import Mark
from cloud_worker.forge.evaluate.progress import progress_bar
from edgewise.wire.findings import AgreementFound, Findings, Making, ParentFound, Table
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, sha256_file

TARGET: Final = "cloud"
RUNTIMES: Final = {"onnx": "ONNX Runtime, one row at a time", "safetensors": "torch, float32 arithmetic"}


@dataclass(frozen=True)
class Parent:
    """The model that a version was made from, and the digest of its weights."""

    name: str
    decoder: Decoder
    weights_digest: str


@dataclass(frozen=True)
class Candidate:
    """One model that sits the examination. `folder` holds its weights (the file `weights`), tokenizer and template.

    made: what the forge knows of the training; None for a model from elsewhere.
    """

    name: str
    tier: str
    folder: Path
    weights: str
    runtime: str
    decoder: Decoder
    made: Making | None = None
    parent: Parent | None = None
    tables: tuple[Table, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class Examination:
    """The exercises of one sitting, with the tokenizer that turns them into ids."""

    tokenizer: Tokenizer
    exercises: Sequence[Exercise]
    seed: int = EXAMINATION_SEED
    limit: int = ANSWER_LIMIT

    @classmethod
    def drawn(cls, tokenizer: Tokenizer, per_cell: int, limit: int = ANSWER_LIMIT) -> Examination:
        """Known and held-out phrasings, `per_cell` of each for every family, grade and language."""
        exercises = [exercise for held_out in (False, True) for exercise in sample(per_cell, held_out)]
        return cls(tokenizer, exercises, limit=limit)

    @property
    def prompts(self) -> list[list[int]]:
        """Ids of every conversation up to the assistant's turn."""
        return [prompt_ids(self.tokenizer, exercise) for exercise in self.exercises]


@dataclass
class Sitting:
    """One examination of several candidates. `advance(n)` is told of every n exercises of `total`."""

    examination: Examination
    candidates: Sequence[Candidate]
    advance: Advance = no_progress
    _marks: dict[str, list[Mark]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Answers that `run` will ask for, for a progress bar."""
        looks = sum(1 + (one.parent is not None) for one in self.candidates)
        return looks * len(self.examination.exercises)

    def run(self) -> dict[str, Findings]:
        """Findings by tier."""
        for one in self.candidates:
            self._marks[one.tier] = self._judge(one.decoder)
        return {one.tier: self._findings(one) for one in self.candidates}

    def _judge(self, decoder: Decoder) -> list[Mark]:
        sat = self.examination
        return judge(decoder, sat.tokenizer, sat.exercises, sat.limit, self.advance)

    def _findings(self, one: Candidate) -> Findings:
        marks, sat = self._marks[one.tier], self.examination
        larger = self._marks.get(TARGET) if one.tier != TARGET else None
        drafts = self._accepted(one.decoder, marks, larger) if larger else None
        parent, agreement = self._parent(one, marks)
        weights = one.folder / one.weights
        return Findings(
            name=one.name,
            tier=one.tier,
            runtime=one.runtime,
            weights_digest=sha256_file(weights),
            weights_bytes=weights.stat().st_size,
            tokenizer_digest=sha256_file(one.folder / TOKENIZER_FILE),
            template_digest=sha256_file(one.folder / TEMPLATE_FILE),
            examination=examination_digest(sat.exercises),
            examination_seed=sat.seed,
            cells=cells_found(marks),
            accepted=accepted_found(TARGET, sat.exercises, drafts) if drafts else (),
            agreement=agreement,
            parent=parent,
            made=one.made,
            tables=one.tables,
            notes=one.notes,
        )

    def _accepted(self, draft: Decoder, own: Sequence[Mark], target: Sequence[Mark]) -> list[Accepted]:
        mine = [mark.ids if mark.ended else None for mark in own]
        replies, ended = [mark.ids for mark in target], [mark.ended for mark in target]
        return accepted(draft, self.examination.prompts, replies, mine, ended=ended)

    def _parent(self, one: Candidate, marks: Sequence[Mark]) -> tuple[ParentFound | None, tuple[AgreementFound, ...]]:
        if one.parent is None:
            return None, ()
        its = self._judge(one.parent.decoder)
        agreed = agreement_found(self.examination.exercises, self._accepted(one.decoder, marks, its))
        found = ParentFound(name=one.parent.name, weights_digest=one.parent.weights_digest, cells=cells_found(its))
        return found, agreed


def sit(examination: Examination, candidates: Sequence[Candidate]) -> dict[str, Findings]:
    """Findings by tier, with a progress bar on standard error."""
    sitting = Sitting(examination, candidates)
    with progress_bar() as bar:
        task = bar.add_task("examining", total=sitting.total)
        sitting.advance = lambda count: bar.advance(task, count)
        return sitting.run()
