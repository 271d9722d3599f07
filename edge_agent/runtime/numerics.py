"""Row numerics: how many rows the calls of a decoder have, what may then be reused or guessed, and the id of it all.

A row that a kernel computes alone differs in its last bits from the same row in company; all rows in company agree
(docs/adr/0030). What feeds the calls is sequence.py, what tries the claim on a machine is self_check.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

INEXACT: Final = "inexact"


class Numerics(StrEnum):
    """`one-row`: a call for each token. `many-row`: every call padded to whole tiles. `mixed`: one row where nothing is
    drafted, several otherwise, so that the bits depend on the drafts."""

    ONE_ROW = "one-row"
    MANY_ROW = "many-row"
    MIXED = "mixed"

    @property
    def pads(self) -> bool:
        """Whether a call for one token is padded, so that no row is computed alone."""
        return self is Numerics.MANY_ROW

    @property
    def speculates(self) -> bool:
        """Whether tokens may be drafted."""
        return self is not Numerics.ONE_ROW

    @property
    def output_like_prompt(self) -> bool:
        """Whether rows of generated tokens may stand for rows of a prompt, and are replayed in the same chunks."""
        return self is not Numerics.ONE_ROW

    @property
    def exact(self) -> bool:
        """Whether equal ids promise equal tokens, on a machine that passed the self-check."""
        return self is not Numerics.MIXED


def numerics_id(kernels: str, graph_digest: str, numerics: Numerics, *, checked: bool, context: str = "") -> str:
    """Names everything that can change a logit's bits; ends in `/inexact` where equal ids promise nothing.

    `context` names the policy by which rows are dropped, if any are (context.py).
    """
    name = "/".join(filter(None, (kernels, graph_digest[:16], numerics, context)))
    return name if checked and numerics.exact else f"{name}/{INEXACT}"
