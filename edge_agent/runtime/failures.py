"""What whoever waits for an answer of the engine is told: a failure of it, or that a wish is not known here."""

from __future__ import annotations

from edgewise.wire.errors import EdgewiseError, TierError, UnsupportedParameterError


def failed(error: Exception) -> EdgewiseError:
    """What who waits for an answer is told when the engine cannot go on with it. An error of ours says it itself."""
    if isinstance(error, EdgewiseError):
        return error
    failure = TierError(
        f"The edge engine failed on this answer: {error}",
        where="edge engine",
        remedy="another tier may continue the answer",
    )
    failure.__cause__ = error
    return failure


def unsupported(what: str, expected: str, remedy: str) -> UnsupportedParameterError:
    """What to raise for a wish that this runtime cannot meet."""
    return UnsupportedParameterError(
        f"The edge engine cannot take {what}", where="edge engine", expected=expected, remedy=remedy
    )
