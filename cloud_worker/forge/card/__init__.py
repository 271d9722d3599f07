"""The model card: findings measured once (measure.py), kept as findings.json, and rendered to CARD.md at any time."""

from cloud_worker.forge.card.collect import making
from cloud_worker.forge.card.files import CARD_FILE, Checked, add_tables, check_card, model_directories, write_card
from cloud_worker.forge.card.measure import RUNTIMES, Candidate, Examination, Parent, Sitting, sit
from cloud_worker.forge.card.render import markdown, render, table

__all__ = [
    "CARD_FILE",
    "RUNTIMES",
    "Candidate",
    "Checked",
    "Examination",
    "Parent",
    "Sitting",
    "add_tables",
    "check_card",
    "making",
    "markdown",
    "model_directories",
    "render",
    "sit",
    "table",
    "write_card",
]
