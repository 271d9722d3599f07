"""An answer's text as a pure function of its ids: detokenization, then stop strings. Nothing here knows of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgewise.generation.detokenize import Detokenizer, TokenBytes
from edgewise.generation.stops import StopScanner


class TextOut(msgspec.Struct, frozen=True):
    """Text that may be shown now; whether a stop string was met; how many of the pushed ids belong to the answer."""

    text: str
    stopped: bool
    taken: int


class TextStream:
    """The text of one answer. `replay_ids` were shown by somebody else already and release no text again.

    Pushing ids one by one, all at once or partly as replay gives the same text in total. `shown_chars` is how much of
    it was shown: an engine that speaks text shows what would be held back here, so that is left out when it comes.
    """

    def __init__(
        self,
        tokenizer: TokenBytes,
        stops: Sequence[str] = (),
        replay_ids: Iterable[int] = (),
        *,
        shown_chars: int = 0,
    ) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._scanner = StopScanner(stops)
        self._shown_chars = 0
        self._shown_chars = max(0, shown_chars - len(self.push(replay_ids).text))

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met; ids after it do not belong to the answer."""
        return self._scanner.stopped

    def push(self, ids: Iterable[int]) -> TextOut:
        """The text that these ids release. Ids after the one that completes a stop string are not taken."""
        shown, taken = [], 0
        for token in ids:
            if self.stopped:
                break
            shown.append(self._scanner.push(self._detokenizer.push((token,))))
            taken += 1
        return TextOut(self._new("".join(shown)), self.stopped, taken)

    def finish(self) -> str:
        """The rest, now that no more ids will come; nothing after a stop."""
        rest = self._scanner.push(self._detokenizer.finish())
        return self._new(rest + self._scanner.finish())

    def _new(self, text: str) -> str:
        """What of a released text was not shown yet."""
        again = min(self._shown_chars, len(text))
        self._shown_chars -= again
        return text[again:]
