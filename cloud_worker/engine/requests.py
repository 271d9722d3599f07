"""Request: one answer as the scheduler knows it: what was asked, what was said, what was read. Account: who asks.

Only records; the rules are in priority.py, ledger.py, waiting.py, tables.py and scheduler.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud_worker.engine.blocks import chain
from cloud_worker.engine.work import BLOCK_TOKENS, Segment

NOT_WAITING = -1


@dataclass(slots=True, eq=False)
class Account:
    """One tenant: `served` weighted tokens, the mean length of its answers, and what of it waits."""

    tenant: bytes
    served: float
    mean_output: float
    requests: int = 0
    """Waiting and running."""
    admitted: int = 0
    """The token clock when one of its requests was last given room."""
    waiting: int = 0
    held: int = 0
    """Tokens that its waiting requests may come to at most."""
    line: list[tuple[float, int, Request]] = field(default_factory=list)
    """A heap of those that wait, and of some that no longer do; waiting.py's."""


@dataclass(slots=True, eq=False)
class Request:
    """What is asked (the first fields) and where it stands (the scheduler's own). Output ids make it a resume.

    `max_tokens` counts the whole answer, `output_ids` included. Prompts share rows only under one `salt` and with equal
    `extra` (whatever else their rows depend on); who pays is the `tenant`.
    """

    id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int
    output_ids: list[int] = field(default_factory=list)
    tenant: bytes = b""
    tier: int = 0
    salt: bytes = b""
    extra: Mapping[str, bytes] | None = None

    links: tuple[bytes, ...] = field(init=False, repr=False)
    """Of the prompt's tiles; the last one names the whole prompt."""
    account: Account = field(init=False, repr=False)
    number: int = 0
    """Counts those that came."""
    arrived: int = 0
    """The token clock when it came."""
    admitted: int = 0
    """The token clock when it got blocks."""
    ticket: int = NOT_WAITING
    """Its place in the waiting line."""
    blocks: list[int] = field(default_factory=list)
    """Empty while it waits."""
    read: int = 0
    """Tokens in the blocks, while it is not yet answering; then its row's start says it."""
    furthest: int = 0
    """Tokens that were ever read: those below are no progress when they are read again."""
    forked: bool = False
    """Whether its last prompt block may be somebody else's too."""
    room_ends: int = 0
    """The position at which its next row needs a block, or one of its own."""
    preemptions: int = 0
    put_back_in: int = -1
    """The step in which it last lost its place."""
    row: Segment = field(init=False, repr=False)
    """What the next step reads of an answer that is being made; used again in every step."""

    def __post_init__(self) -> None:
        self.links = chain(self.prompt_ids, self.salt, self.extra)

    @property
    def total(self) -> int:
        """Tokens of the prompt and the answer so far."""
        return len(self.prompt_ids) + len(self.output_ids)

    @property
    def most(self) -> int:
        """Tokens of the prompt and the longest answer."""
        return len(self.prompt_ids) + self.max_tokens

    @property
    def capacity(self) -> int:
        """Tokens for which it has blocks."""
        return len(self.blocks) * BLOCK_TOKENS

    @property
    def waiting(self) -> bool:
        return self.ticket != NOT_WAITING

    @property
    def reusable(self) -> tuple[bytes, ...]:
        """Links of the whole tiles that need not be read: not the last one, where the logits behind it are wanted."""
        tokens = len(self.prompt_ids) - (not self.output_ids)
        return self.links[: tokens // BLOCK_TOKENS]

    @property
    def sparable(self) -> tuple[bytes, ...]:
        """Links of the tiles that another's reading can spare it: to the very last, if nothing was said yet."""
        return self.reusable if self.output_ids else self.links

    def begin_rows(self) -> None:
        """It is answering from now on: the last token of all is the next one to read."""
        last = self.output_ids[-1] if self.output_ids else self.prompt_ids[-1]
        self.row = Segment(self.id, self.blocks, self.total - 1, (last,), prompt=False, wanted=1)
