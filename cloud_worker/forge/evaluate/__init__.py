"""Judging a model: greedy answers to the examination, marks, agreement between models, and what routing can gain."""

from cloud_worker.forge.evaluate.agreement import Agreement, agreement
from cloud_worker.forge.evaluate.decoder import Decoder, Forced, Said, open_decoder
from cloud_worker.forge.evaluate.examining import (
    ANSWER_LIMIT,
    CALIBRATION_SEED,
    EXAMINATION_SEED,
    answer_ids,
    examine,
    judge,
    prompt_ids,
    sample,
)
from cloud_worker.forge.evaluate.marks import Cell, Key, Mark, by_grade, chance, perplexity, tally

__all__ = [
    "ANSWER_LIMIT",
    "CALIBRATION_SEED",
    "EXAMINATION_SEED",
    "Agreement",
    "Cell",
    "Decoder",
    "Forced",
    "Key",
    "Mark",
    "Said",
    "agreement",
    "answer_ids",
    "by_grade",
    "chance",
    "examine",
    "judge",
    "open_decoder",
    "perplexity",
    "prompt_ids",
    "sample",
    "tally",
]
