"""How a background task is ended: cancelled until it is gone. What it leaves undone is its owner's business."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

AGAIN_S: Final = 2.0
logger = logging.getLogger(__name__)


async def end(*tasks: asyncio.Task[Any], again_s: float = AGAIN_S) -> None:
    """Cancel `tasks` and wait until all are done, whatever their result.

    One cancellation is not enough: it can be lost on the way, where the clean-up after it fails in another way and that
    error is handled as usual (seen once in a dozen crowded stops of the usage ledger). A task that still runs after
    `again_s` is cancelled again, and the log says so.
    """
    waiting = {task for task in tasks if not task.done()}
    for task in waiting:
        task.cancel()
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=again_s)
        for task in waiting:
            logger.warning("the task %s did not end when it was cancelled; it is cancelled again", task.get_name())
            task.cancel()
