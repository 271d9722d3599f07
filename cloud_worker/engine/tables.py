"""Tables: gives requests their blocks of the pool, finds prompt tiles that are known already, or just being read.

Who gets blocks, and who must give them back, is scheduler.py's business.
"""

from __future__ import annotations

from cloud_worker.engine.blocks import BlockPool, blocks_for
from cloud_worker.engine.requests import Request
from cloud_worker.engine.work import BLOCK_TOKENS, BlockCopy


class Tables:
    """Block tables of the running requests of one pool. A request gets room for its whole prompt, what was said, and
    `reserve_tokens` more of its answer at once, so that it does not lose its place soon after it got it.
    """

    def __init__(self, pool: BlockPool, reserve_tokens: int) -> None:
        self._pool, self._reserve_tokens = pool, reserve_tokens
        self._reading: dict[bytes, Request] = {}
        """Link of a tile → who is going to read it."""
        self.reused_tokens = 0
        """Prompt tokens that were not read, because others had left or shared their rows."""

    def is_being_read(self, request: Request) -> bool:
        """Whether the next tile that it needs is about to be there: then it is worth waiting for."""
        known, links = len(self._pool.match(request.reusable)), request.sparable
        return known < len(links) and links[known] in self._reading

    def place(self, request: Request) -> bool:
        """Give it all the blocks that it needs now; False when there is no room."""
        hits = self._pool.match(request.reusable)
        wanted = blocks_for(min(request.total + self._reserve_tokens, request.most)) - len(hits)
        if wanted + self._pool.cost(hits) > self._pool.room:
            return False
        self._pool.share(hits)
        request.blocks = hits + self._pool.allocate(wanted, after=hits[-1] if hits else None)
        self._found(request, len(hits) * BLOCK_TOKENS)
        for link in request.sparable[len(hits) :]:
            self._reading.setdefault(link, request)
        return True

    def read_to(self, request: Request, stop: int) -> None:
        """Its prompt has been read so far: whole tiles are there for others from now on."""
        first = request.read // BLOCK_TOKENS
        for index in range(first, stop // BLOCK_TOKENS):
            self._pool.name(request.blocks[index], request.links[index])
        self._forget_reading(request, first, blocks_for(stop))
        request.read = stop

    def join(self, request: Request, reader: Request) -> bool:
        """Give it the blocks of one with the same prompt, which reads the end of it in this step; False without room.

        The last block of the prompt is both's until one writes into it.
        """
        shared = blocks_for(len(request.prompt_ids))
        own = blocks_for(min(request.total + self._reserve_tokens, request.most)) - shared
        if own + 1 > self._pool.room:
            return False
        request.blocks = self._pool.fork(reader.blocks[:shared])
        request.blocks += self._pool.allocate(own, after=request.blocks[-1])
        request.forked = reader.forked = True
        self._found(request, len(request.prompt_ids))
        return True

    def grow(self, request: Request, copies: list[BlockCopy]) -> bool:
        """Blocks for all tokens so far, the one that the next step writes its own; False when there is no room."""
        index = (request.total - 1) // BLOCK_TOKENS
        if request.forked and index < len(request.blocks):
            if self._pool.shared(request.blocks[index]) and not self._pool.room:
                return False
            copy = self._pool.own(request.blocks, index, (request.total - 1) % BLOCK_TOKENS)
            copies += [copy] if copy else []
            request.forked = False
        return self.extend(request, request.total, self._pool.room)

    def extend(self, request: Request, tokens: int, room: int | None = None) -> bool:
        """Blocks for so many tokens in all, of at most `room` blocks; without it only of those that hold nothing."""
        wanted = blocks_for(tokens) - len(request.blocks)
        if wanted <= 0:
            return True
        if wanted > (self._pool.free if room is None else room):
            return False
        request.blocks += self._pool.allocate(wanted, after=request.blocks[-1])
        return True

    def free(self, request: Request) -> None:
        """Take its blocks back; whole tiles of its prompt are kept as long as nobody needs the room."""
        self._forget_reading(request, request.read // BLOCK_TOKENS, len(request.links))
        self._pool.release(request.blocks)
        request.blocks, request.read, request.forked = [], 0, False

    def check_integrity(self, running: list[Request]) -> None:
        """References are those of the tables; whoever is said to read a tile has still to read it."""
        self._pool.check_integrity([request.blocks for request in running])
        assert all(
            any(each is request for request in running) and link in each.links[each.read // BLOCK_TOKENS :]
            for link, each in self._reading.items()
        ), "a tile is said to be read that nobody reads"

    def _found(self, request: Request, stop: int) -> None:
        """Its prompt is there as far as `stop`; what it had read itself, before it was put back, is no news."""
        request.read = stop
        self.reused_tokens += max(0, stop - request.furthest)
        request.furthest = max(request.furthest, stop)

    def _forget_reading(self, request: Request, first: int, stop: int) -> None:
        for link in request.links[first:stop]:
            if self._reading.get(link) is request:
                del self._reading[link]
